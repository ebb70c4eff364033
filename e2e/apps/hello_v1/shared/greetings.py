"""Code that functions of the app share: it lies beside their folders, and has no function.json."""


def greeting(name: str) -> str:
    """Returns how the sample greets."""
    return f"Hello {name}!"
