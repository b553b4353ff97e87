"""P2, P3, P6 and P7: an install broken at any operation leaves nothing torn, and the next plain call heals it.

It is killed, loses its power, is interrupted, or is refused an operation; then the target must also be as it was.
"""

from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STATES)
def test_install_killed_at_every_operation(state: str, sweep: Sweep) -> None:
    """SIGKILL before each operation that changes the disk."""
    assert sweep(state, "kill") > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STATES)
def test_install_killed_in_the_middle_of_every_write(state: str, sweep: Sweep) -> None:
    """SIGKILL when one byte, half or all but one byte of a write have reached the disk."""
    assert sweep(state, "kill-in-write") > 30


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STATES)
def test_power_loss_in_every_state(state: str, sweep: Sweep) -> None:
    """Power lost after each change of names, and with it all bytes that were not flushed."""
    assert sweep(state, "power-loss") > 60


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN, "store", *STAND_IN])
def test_install_interrupted_after_every_operation(state: str, sweep: Sweep) -> None:
    """Ctrl-C right after each operation that changes the disk: as it was or whole."""
    assert sweep(state, "interrupt-after") > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", ["fresh", "replace"])
def test_install_interrupted_before_every_operation(state: str, sweep: Sweep) -> None:
    """Ctrl-C before each operation on files, folders and locks, those that only look, too: as it was or whole."""
    assert sweep(state, "interrupt-before") > 100


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN, *STAND_IN])
@pytest.mark.parametrize("fault", crash.FAULTS)
def test_install_refused_at_every_operation(fault: str, state: str, sweep: Sweep) -> None:
    """An error at each operation that changes the disk: a clear error or success, and the target unchanged or whole."""
    assert sweep(state, fault) > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", ["replace", "store", *STAND_IN])
@pytest.mark.parametrize("fault", crash.LASTING)
def test_install_refused_from_every_operation_on(fault: str, state: str, sweep: Sweep) -> None:
    """A disk that stays full, or becomes read-only for good: a clear error, nothing torn, and it heals afterwards."""
    assert sweep(state, fault) > 50
