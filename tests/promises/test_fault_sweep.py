"""P2, P3 and P7: an install refused at any operation says so, leaves the target as it was, and the next call heals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import crash, traced
from support.states import STAND_IN, skip_unless_possible

MAIN_STATES = ("fresh", "replace", "repair")


@pytest.mark.parametrize("fault", crash.FAULTS)
def test_install_refused_at_a_sample_of_operations(fault: str, scratch: Path, count: Callable[..., None]) -> None:
    """An error at every tenth operation and every rename: a clear error or success, the target unchanged or whole."""
    reports = crash.run(scratch, states=MAIN_STATES, sweeps=[fault], every=10)
    figures = crash.totals(reports)
    count(f"{fault} at an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 20


def test_install_on_a_disk_that_stays_full(scratch: Path, count: Callable[..., None]) -> None:
    """From every twentieth operation on there is no room: a clear error, and the target unchanged."""
    reports = crash.run(scratch, states=MAIN_STATES, sweeps=["ENOSPC-lasting"], every=20)
    figures = crash.totals(reports)
    count("a disk full from an operation on", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 15


def test_install_refused_at_a_sample_of_system_calls(scratch: Path, count: Callable[..., None]) -> None:
    """ENOSPC by strace at every eighth write, fsync, mkdir, rename and removal of a replacement."""
    traced.skip_without_strace()
    reports = traced.run(scratch, states=["replace"], fault="ENOSPC", every=8)
    figures = crash.totals(reports)
    count("ENOSPC at a system call (strace)", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.parametrize("state", STAND_IN)
def test_install_into_the_store_refused_at_a_sample_of_operations(
    state: str, scratch: Path, count: Callable[..., None]
) -> None:
    """ENOSPC or EACCES at every twentieth operation and every rename where the store has to stand in."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=["ENOSPC", "EACCES"], every=20)
    figures = crash.totals(reports)
    count(f"ENOSPC or EACCES at an operation that changes the disk, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN_STATES, *STAND_IN])
@pytest.mark.parametrize("fault", crash.FAULTS)
def test_install_refused_at_every_operation(fault: str, state: str, scratch: Path, count: Callable[..., None]) -> None:
    """An error at each operation that changes the disk: a clear error or success, and the target unchanged or whole."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=[fault])
    figures = crash.totals(reports)
    count(f"{fault} at each operation that changes the disk, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", ["replace", "store", *STAND_IN])
@pytest.mark.parametrize("fault", ["ENOSPC-lasting", "EROFS-lasting"])
def test_install_refused_from_every_operation_on(
    fault: str, state: str, scratch: Path, count: Callable[..., None]
) -> None:
    """A disk that stays full, or becomes read-only for good: a clear error, nothing torn, and it heals afterwards."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=[fault])
    figures = crash.totals(reports)
    count(f"{fault} from each operation on, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", ["replace", *STAND_IN])
def test_install_refused_at_every_system_call(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """ENOSPC by strace at each write, fsync, mkdir, rename and removal: clear or harmless, and the target unchanged."""
    traced.skip_without_strace()
    skip_unless_possible(state, scratch)
    reports = traced.run(scratch, states=[state], fault="ENOSPC")
    figures = crash.totals(reports)
    count(f"ENOSPC at each system call (strace), {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40
