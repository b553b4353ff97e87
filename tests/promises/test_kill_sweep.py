"""P2 and P3: an install killed at any operation leaves nothing torn, and the next plain call heals it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import crash, scenes, traced

MAIN_SCENES = ("fresh", "replace", "repair")


def test_install_killed_at_a_sample_of_operations(scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL before every fifth operation and every rename: nothing torn, wedged or left."""
    reports = crash.run(scratch, scene_names=MAIN_SCENES, sweeps=["kill"], every=5)
    figures = crash.summed(reports)
    count("SIGKILL before an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40
    assert [report.operations > 50 for report in reports] == [True] * 3


def test_install_interrupted_at_a_sample_of_operations(scratch: Path, count: Callable[..., None]) -> None:
    """Ctrl-C right after every tenth operation and every rename: as it was or whole, and nothing left."""
    reports = crash.run(scratch, scene_names=MAIN_SCENES, sweeps=["interrupt"], every=10)
    figures = crash.summed(reports)
    count("Ctrl-C after an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 20


def test_install_killed_at_a_sample_of_system_calls(scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL by strace at every eighth write, fsync, mkdir, rename and removal of a replacement."""
    _skip_without_strace()
    reports = traced.run(scratch, scene_names=["replace"], blow="kill", every=8)
    figures = crash.summed(reports)
    count("SIGKILL at a system call (strace)", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", scenes.SCENES)
def test_install_killed_at_every_operation(scene: str, scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL before each operation that changes the disk, in every scene: nothing torn, wedged or left."""
    reports = crash.run(scratch, scene_names=[scene], sweeps=["kill"])
    figures = crash.summed(reports)
    count(f"SIGKILL before each operation that changes the disk, {scene}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", [*MAIN_SCENES, "store"])
def test_install_interrupted_at_every_operation(scene: str, scratch: Path, count: Callable[..., None]) -> None:
    """Ctrl-C right after each operation that changes the disk: as it was or whole, and nothing left."""
    reports = crash.run(scratch, scene_names=[scene], sweeps=["interrupt"])
    figures = crash.summed(reports)
    count(f"Ctrl-C after each operation that changes the disk, {scene}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("scene", MAIN_SCENES)
def test_install_killed_at_every_system_call(scene: str, scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL by strace at each write, fsync, mkdir, rename and removal: nothing torn, wedged or left."""
    _skip_without_strace()
    reports = traced.run(scratch, scene_names=[scene], blow="kill")
    figures = crash.summed(reports)
    count(f"SIGKILL at each system call (strace), {scene}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40


def _skip_without_strace() -> None:
    reason = traced.obstacle()
    if reason:
        pytest.skip(reason)
