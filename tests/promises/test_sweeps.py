"""P2, P3, P6 and P7: an install broken at any operation leaves nothing torn, and the next plain call heals it.

It is killed, loses its power, is interrupted, or is refused an operation; then the target must also be as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support import crash, sweeps
from support.states import MAIN, STAND_IN, STATES, skip_unless_possible

WHOLE: dict[str, Sequence[str]] = {
    **dict.fromkeys(("kill", "kill-in-write", "power-loss"), tuple(STATES)),
    "interrupt-after": (*MAIN, "store", *STAND_IN),
    "interrupt-before": ("fresh", "replace"),
    **dict.fromkeys(crash.FAULTS, (*MAIN, *STAND_IN)),
    **dict.fromkeys(crash.LASTING, ("replace", "store", *STAND_IN)),
}
"""The states of each sweep, tried at every point."""
SAMPLE = [
    ("repair", "kill", 5),
    ("replace", "kill-in-write", 3),
    ("two-builds", "power-loss", 10),
    ("replace", "interrupt-after", 10),
    ("fresh", "interrupt-before", 20),
    ("fresh", "ENOSPC", 10),
    ("store-foreign-package", "EIO", 10),
    ("repair", "EACCES", 10),
    ("replace", "EROFS", 10),
    ("replace", "ENOSPC-lasting", 20),
]
"""States and sweeps that are tried on every run, at every n-th point and every rename."""
EVERY = [(state, name, 1) for name, states in WHOLE.items() for state in states]
CASES = [*SAMPLE, *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in EVERY)]


@pytest.mark.parametrize(("state", "name", "every"), CASES)
def test_install_broken_at_every_point(
    state: str, name: str, every: int, scratch: Path, count: Callable[..., None]
) -> None:
    """At every point of a state, or a sample of them: nothing torn, wedged, left, lost, changed or unclear."""
    skip_unless_possible(state, scratch)
    report = sweeps.run(scratch, state, name, every=every)
    count(f"{name}, {state}", points=report.points, **{kind: len(lines) for kind, lines in report.failures.items()})
    assert {kind: lines for kind, lines in report.failures.items() if lines} == {}
    assert report.points > (30 if every == 1 else 5)


@pytest.mark.exhaustive
def test_power_loss_without_fsync(scratch: Path) -> None:
    """The sweep can fail: with fsync doing nothing, a reader sees a torn install after the last rename."""
    report = sweeps.run(scratch, "fresh", "power-loss-without-fsync", every=1000)
    assert ["os.rename" in line for line in report.failures["torn"]] == [True, True]
