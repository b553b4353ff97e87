"""A deadline lies on the monotonic clock and nobody can put it off."""

from __future__ import annotations

import time

import pytest

from modelboot._limits import Deadline


@pytest.mark.parametrize(
    ("passed_s", "remaining_s"),
    [(0.0, 30.0), (12.5, 17.5), (30.0, 0.0), (31.0, 0.0), (1e9, 0.0)],
    ids=["at-once", "on-the-way", "just-now", "past", "long-past"],
)
def test_deadline(monkeypatch: pytest.MonkeyPatch, passed_s: float, remaining_s: float) -> None:
    """What is left shrinks with the clock, never below nothing; how far away it was when it was set is kept."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    deadline = Deadline.after(30.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + passed_s)
    assert (deadline.remaining_s, deadline.total_s) == (remaining_s, 30.0)
    assert str(deadline) == "deadline of 30 s passed"
    with pytest.raises(AttributeError, match="can't set attribute"):
        deadline.ends_at_s = 2000.0  # type: ignore[misc]  # what the test is about
