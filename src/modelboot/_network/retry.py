"""Whether a failed request is worth another, and after how long. Decides only; waiting is others' business."""

from __future__ import annotations

import random
from dataclasses import dataclass

from modelboot._network.response import HttpError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
UNREACHABLE_TRIES = 2
"""Further tries for a host that refuses connections: within about 2 s the next source gets its turn."""


@dataclass(slots=True)
class Tries:
    """The further tries of one transfer. Progress does not renew them: a server that flaps for ever is given up."""

    left: int
    made: int = 0

    def pause_s(self, error: HttpError, remaining_s: float) -> float | None:
        """Spend a try.

        Args:
            error: What went wrong.
            remaining_s: Seconds until the deadline.

        Returns:
            Seconds to wait before the next try: what the server asks for, else twice as long each time with some
            chance in it, so that a fleet does not return as one. None when there is no further try.
        """
        limit = min(self.left, UNREACHABLE_TRIES - self.made) if error.unreachable else self.left
        if not error.again or limit <= 0:
            return None
        # No further doubling after 16: a float has an end.
        pause: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.made, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if error.after_s is not None:
            pause = max(pause, error.after_s)
        if pause >= remaining_s:
            return None
        self.left -= 1
        self.made += 1
        return pause

    def told_with(self, error: HttpError) -> str:
        """Word the last failure, what the server asked for, and how often it was tried if more than once."""
        asked = f", asked to wait {error.after_s:.0f} s" if error.again and error.after_s else ""
        return f"{error}{asked}{f', {self.made + 1} tries' if self.made else ''}"
