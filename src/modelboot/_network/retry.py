"""Which failures are retried, how often, and after how long. The download waits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from modelboot._network.response import RequestError

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0
RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may be another in a moment; every other 4xx and 5xx is final."""
RETRY_WITHIN_S = 1.0
"""A DNS server or a host that took longer to fail is not asked again: other sources are waiting."""
UNREACHABLE_RETRIES = 2
"""Retries for a host that refuses connections: within about 2 s the next source gets its turn."""


def is_retryable(error: RequestError) -> bool:
    """Return True if a further attempt may succeed: always where only a part of the file was refused."""
    is_passing = error.unreachable_after_s is not None and error.unreachable_after_s < RETRY_WITHIN_S
    return error.broken or error.discard_partial or is_passing or error.status in RETRYABLE_STATUSES


@dataclass(slots=True)
class RetryBudget:
    """The retries of one download. Progress does not renew them: a server that fails again and again is given up."""

    left: int
    made: int = 0

    def next_delay_s(self, error: RequestError, remaining_s: float) -> float | None:
        """Spend a retry.

        Args:
            error: What went wrong.
            remaining_s: Seconds until the deadline.

        Returns:
            Seconds to wait before the next attempt: what the server asks for, else twice as long each time, with some
            chance in it, so that many clients do not return at once. None when there is no further attempt.
        """
        limit = self.left if error.unreachable_after_s is None else min(self.left, UNREACHABLE_RETRIES - self.made)
        if not is_retryable(error) or limit <= 0:
            return None
        # No further doubling after 16: a float has an end.
        delay_s: float = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(self.made, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        if delay_s >= remaining_s:
            return None
        self.left -= 1
        self.made += 1
        return delay_s

    def describe(self, error: RequestError) -> str:
        """Describe the last failure: what the server asked for, and how many attempts were made if more than one."""
        if not is_retryable(error):
            return str(error)
        wait = f", asked to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return f"{error}{wait}{f', {self.made + 1} attempts' if self.made else ''}"
