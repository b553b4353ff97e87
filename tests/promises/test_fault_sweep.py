"""P2, P3 and P7: an install refused at any operation says so, leaves the target as it was, and the next call heals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import crash, traced

MAIN_SCENES = ("fresh", "replace", "repair")


@pytest.mark.parametrize("fault", crash.FAULTS)
def test_install_refused_at_a_sample_of_operations(fault: str, scratch: Path, count: Callable[..., None]) -> None:
    """An error at every tenth operation and every rename: a clear error or success, the target unchanged or whole."""
    reports = crash.run(scratch, scene_names=MAIN_SCENES, sweeps=[fault], every=10)
    figures = crash.summed(reports)
    count(f"{fault} at an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 20


def test_install_on_a_disk_that_stays_full(scratch: Path, count: Callable[..., None]) -> None:
    """From every twentieth operation on there is no room: a clear error, and the target unchanged."""
    reports = crash.run(scratch, scene_names=MAIN_SCENES, sweeps=["ENOSPC-lasting"], every=20)
    figures = crash.summed(reports)
    count("a disk full from an operation on", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 15


def test_install_refused_at_a_sample_of_system_calls(scratch: Path, count: Callable[..., None]) -> None:
    """ENOSPC by strace at every eighth write, fsync, mkdir, rename and removal of a replacement."""
    _skip_without_strace()
    reports = traced.run(scratch, scene_names=["replace"], blow="ENOSPC", every=8)
    figures = crash.summed(reports)
    count("ENOSPC at a system call (strace)", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", MAIN_SCENES)
@pytest.mark.parametrize("fault", crash.FAULTS)
def test_install_refused_at_every_operation(fault: str, scene: str, scratch: Path, count: Callable[..., None]) -> None:
    """An error at each operation that changes the disk: a clear error or success, and the target unchanged or whole."""
    reports = crash.run(scratch, scene_names=[scene], sweeps=[fault])
    figures = crash.summed(reports)
    count(f"{fault} at each operation that changes the disk, {scene}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", ["replace", "store"])
@pytest.mark.parametrize("fault", ["ENOSPC-lasting", "EROFS-lasting"])
def test_install_refused_from_every_operation_on(
    fault: str, scene: str, scratch: Path, count: Callable[..., None]
) -> None:
    """A disk that stays full, or becomes read-only for good: a clear error, nothing torn, and it heals afterwards."""
    reports = crash.run(scratch, scene_names=[scene], sweeps=[fault])
    figures = crash.summed(reports)
    count(f"{fault} from each operation on, {scene}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
def test_install_refused_at_every_system_call(scratch: Path, count: Callable[..., None]) -> None:
    """ENOSPC by strace at each write, fsync, mkdir, rename and removal: clear or harmless, and the target unchanged."""
    _skip_without_strace()
    reports = traced.run(scratch, scene_names=["replace"], blow="ENOSPC")
    figures = crash.summed(reports)
    count("ENOSPC at each system call (strace), replace", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40


def _skip_without_strace() -> None:
    reason = traced.obstacle()
    if reason:
        pytest.skip(reason)
