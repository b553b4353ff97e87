"""P2 and P3: an install killed at any operation leaves nothing torn, and the next plain call heals it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import crash, traced
from support.states import STAND_IN, STATES, skip_unless_possible

MAIN_STATES = ("fresh", "replace", "repair")


def test_install_killed_at_a_sample_of_operations(scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL before every fifth operation and every rename: nothing torn, wedged or left."""
    reports = crash.run(scratch, states=MAIN_STATES, sweeps=["kill"], every=5)
    figures = crash.totals(reports)
    count("SIGKILL before an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40
    assert [report.operations > 50 for report in reports] == [True] * 3


def test_install_interrupted_at_a_sample_of_operations(scratch: Path, count: Callable[..., None]) -> None:
    """Ctrl-C right after every tenth operation and every rename: as it was or whole, and nothing left."""
    reports = crash.run(scratch, states=MAIN_STATES, sweeps=["interrupt"], every=10)
    figures = crash.totals(reports)
    count("Ctrl-C after an operation that changes the disk", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 20


def test_install_killed_at_a_sample_of_system_calls(scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL by strace at every eighth write, fsync, mkdir, rename and removal of a replacement."""
    traced.skip_without_strace()
    reports = traced.run(scratch, states=["replace"], fault="kill", every=8)
    figures = crash.totals(reports)
    count("SIGKILL at a system call (strace)", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.parametrize("state", STAND_IN)
def test_install_into_the_store_killed_or_interrupted_at_a_sample_of_operations(
    state: str, scratch: Path, count: Callable[..., None]
) -> None:
    """SIGKILL before, or Ctrl-C after, every tenth operation and every rename where the store has to stand in."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=["kill", "interrupt"], every=10)
    figures = crash.totals(reports)
    count(f"SIGKILL or Ctrl-C at an operation that changes the disk, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STATES)
def test_install_killed_at_every_operation(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL before each operation that changes the disk, in every state: nothing torn, wedged or left."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=["kill"])
    figures = crash.totals(reports)
    count(f"SIGKILL before each operation that changes the disk, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN_STATES, "store", *STAND_IN])
def test_install_interrupted_at_every_operation(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """Ctrl-C right after each operation that changes the disk: as it was or whole, and nothing left."""
    skip_unless_possible(state, scratch)
    reports = crash.run(scratch, states=[state], sweeps=["interrupt"])
    figures = crash.totals(reports)
    count(f"Ctrl-C after each operation that changes the disk, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] == reports[0].operations > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN_STATES, *STAND_IN])
def test_install_killed_at_every_system_call(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """SIGKILL by strace at each write, fsync, mkdir, rename and removal: nothing torn, wedged or left."""
    traced.skip_without_strace()
    skip_unless_possible(state, scratch)
    reports = traced.run(scratch, states=[state], fault="kill")
    figures = crash.totals(reports)
    count(f"SIGKILL at each system call (strace), {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 40
