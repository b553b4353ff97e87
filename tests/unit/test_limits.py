"""A deadline lies on the monotonic clock and nobody can put it off."""

from __future__ import annotations

import time

import pytest

from modelboot._limits import Deadline


class Clock:
    """A monotonic clock that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one."""
        self.now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock at 1000 s."""
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("passed_s", "remaining_s"),
    [(0.0, 30.0), (12.5, 17.5), (30.0, 0.0), (31.0, 0.0), (1e9, 0.0)],
    ids=["at-once", "on-the-way", "just-now", "past", "long-past"],
)
def test_deadline_remaining(clock: Clock, passed_s: float, remaining_s: float) -> None:
    """What is left shrinks with the clock and never falls below nothing."""
    deadline = Deadline.after(30.0)
    clock.now_s += passed_s
    assert deadline.remaining_s == remaining_s


def test_deadline_total(clock: Clock) -> None:
    """How far away it was when it was set is kept, for messages."""
    deadline = Deadline.after(1800.0)
    clock.now_s += 5000.0
    assert (deadline.total_s, deadline.ends_at_s, str(deadline)) == (1800.0, 2800.0, "deadline of 1800 s passed")


def test_deadline_is_frozen(clock: Clock) -> None:
    """Nobody on the way can put it off."""
    deadline = Deadline.after(30.0)
    with pytest.raises(AttributeError, match="can't set attribute"):
        deadline.ends_at_s = clock.now_s + 60  # type: ignore[misc]  # what the test is about
