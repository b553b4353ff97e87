"""How a command ends without success although nothing in the library failed."""

from __future__ import annotations


class CommandError(Exception):
    """What a command was asked for is not so: a model is not intact, or not there."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep what failed and what to do next, a line each."""
        super().__init__(message)
        self.message, self.hint = message, hint
