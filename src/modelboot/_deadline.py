"""How long one call may take: the deadline for all of it, the timeout of one attempt, the number of retries."""

from __future__ import annotations

import time
from typing import NamedTuple


class Deadline(NamedTuple):
    """The point in time by which everything a call does on the network, and every wait for others, must end.

    It lies on the monotonic clock; `total_s` is how far away it was when it was set.
    """

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


class Limits(NamedTuple):
    """How long one call may take on the network."""

    timeout_s: float
    """Seconds without a byte before an attempt is given up."""
    retries: int
    """Further attempts after a failure that is worth a retry."""
    deadline: Deadline
