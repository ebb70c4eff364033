"""Pseudo-terminals, for what is only shown to people."""

import os


def all_of(terminal: int) -> bytes:
    """Everything that was written to a pseudo-terminal whose other end is closed; one read may give a part."""
    parts = []
    with os.fdopen(terminal, "rb", buffering=0) as seen:
        while True:
            try:
                part = seen.read(10_000)
            except OSError:  # how Linux says that there is no more
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts)
