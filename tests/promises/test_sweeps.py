"""P2, P3, P6 and P7: an install broken at any operation leaves nothing torn, and the next plain call heals it.

It is killed, loses its power, is interrupted, or is refused an operation; then the target must also be as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support import crash, sweeps
from support.states import MAIN, STAND_IN, STATES, skip_unless_possible

Sweep = Callable[..., int]


@pytest.fixture
def sweep(scratch: Path, count: Callable[..., None]) -> Sweep:
    """Return what runs a sweep of a state, demands that nothing went wrong, and returns the number of points."""

    def run(state: str, name: str, every: int = 1) -> int:
        skip_unless_possible(state, scratch)
        report = sweeps.run(scratch, state, name, every=every)
        count(
            f"{name}, {state}", points=report.points, **{kind: len(getattr(report, kind)) for kind in sweeps.FAILURES}
        )
        assert report.failures == {}
        return report.points

    return run


@pytest.mark.parametrize(
    ("state", "name", "every"),
    [
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
    ],
)
def test_install_broken_at_a_sample_of_points(state: str, name: str, every: int, sweep: Sweep) -> None:
    """At every n-th point and every rename of one state: nothing torn, wedged, left, lost, changed or unclear."""
    assert sweep(state, name, every) > 5


@pytest.mark.exhaustive
def test_power_loss_without_fsync(scratch: Path) -> None:
    """The sweep can fail: with fsync doing nothing, a reader sees a torn install after the last rename."""
    report = sweeps.run(scratch, "fresh", "power-loss-without-fsync", every=1000)
    assert ["os.rename" in line for line in report.torn] == [True, True]


WHOLE: dict[str, Sequence[str]] = {
    **dict.fromkeys(("kill", "kill-in-write", "power-loss"), tuple(STATES)),
    "interrupt-after": (*MAIN, "store", *STAND_IN),
    "interrupt-before": ("fresh", "replace"),
    **dict.fromkeys(crash.FAULTS, (*MAIN, *STAND_IN)),
    **dict.fromkeys(crash.LASTING, ("replace", "store", *STAND_IN)),
}
"""The states of each sweep."""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "state"), [(name, state) for name, states in WHOLE.items() for state in states])
def test_install_broken_at_every_point(name: str, state: str, sweep: Sweep) -> None:
    """At every point of a state: nothing torn, wedged, left, lost, changed or unclear."""
    assert sweep(state, name) > 30
