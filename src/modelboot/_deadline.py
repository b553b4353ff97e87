"""One point in time that everything a call does on the network and every wait for others must end by."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, and how far away it was when it was set."""

    total_s: float
    ends_at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Set a deadline so many seconds from now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left; 0 once it has passed."""
        return max(0.0, self.ends_at_s - time.monotonic())

    def __str__(self) -> str:
        return f"deadline of {self.total_s:g} s passed"
