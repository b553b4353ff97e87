"""Whether a failed request is worth another, and after how long."""

from __future__ import annotations

import random

import pytest

from modelboot._network.response import RequestError
from modelboot._network.retry import RetryBudget

FINAL = RequestError("HTTP 404 Not Found", "http://a/")
PASSING = RequestError("HTTP 503 Service Unavailable", "http://a/", status=503)
REFUSED = RequestError("Connection refused", "http://a/", unreachable_after_s=0.0)


def asks(retry_after_s: float, status: int = 429) -> RequestError:
    """Make the error of a server that says when to come again."""
    return RequestError("HTTP 429 Too Many Requests", "http://a/", status=status, retry_after_s=retry_after_s)


@pytest.fixture(autouse=True)
def _longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take chance out of pauses: each is as long as it can be."""
    monkeypatch.setattr(random, "uniform", lambda _, most: most)


@pytest.mark.parametrize(
    ("error", "left", "made", "remaining_s", "pause_s"),
    [
        (FINAL, 4, 0, 1000.0, None),
        (PASSING, 4, 0, 1000.0, 0.5),
        (PASSING, 0, 4, 1000.0, None),
        (PASSING, 2000, 2000, 1e9, 30.0),
        (PASSING, 4, 0, 0.5, None),
        (PASSING, 4, 0, 0.6, 0.5),
        (REFUSED, 3, 1, 1000.0, 1.0),
        (REFUSED, 2, 2, 1000.0, None),
        (asks(7.0), 4, 0, 1000.0, 7.0),
        (asks(0.1), 4, 3, 1000.0, 4.0),
        (asks(7.0, 403), 4, 0, 1000.0, None),
        (asks(float("inf")), 4, 0, 2e6, None),
    ],
)
def test_pause(error: RequestError, left: int, made: int, remaining_s: float, pause_s: float | None) -> None:
    """A further attempt follows after a pause, or there is none; only an attempt that is made is spent."""
    retries = RetryBudget(left, made)
    assert retries.next_delay_s(error, remaining_s) == pause_s
    spent = pause_s is not None
    assert (retries.left, retries.made) == (left - spent, made + spent)


def test_pause_has_chance_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses spread over the upper half of what they may be, so that a fleet does not return as one."""
    monkeypatch.undo()
    pauses = [RetryBudget(1).next_delay_s(PASSING, 1000.0) or 0.0 for _ in range(1000)]
    assert 0.25 <= min(pauses) < 0.3
    assert 0.45 < max(pauses) <= 0.5
