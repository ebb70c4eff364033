"""The activity of the sample."""

from shared.greetings import greeting


def say_hello(city: str) -> str:
    """Greets one city."""
    return greeting(city)
