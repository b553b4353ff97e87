"""P2 and P3: whatever a journaling file system leaves after a power failure is not torn, and the next call heals it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import crash, powerloss
from support.states import STAND_IN, skip_unless_possible

MAIN_STATES = ("fresh", "replace", "repair")


def test_power_loss_in_a_sample_of_states(scratch: Path, count: Callable[..., None]) -> None:
    """Bytes not flushed are lost after every fifth change of names and every rename: nothing torn, wedged or left."""
    reports = powerloss.run(scratch, states=MAIN_STATES, every=5)
    figures = crash.totals(reports)
    count("power loss: states a journaling file system may leave", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 60


def test_power_loss_without_fsync(scratch: Path) -> None:
    """The model can fail: with fsync doing nothing, a reader sees torn installs in every state."""
    reports = powerloss.run(scratch, states=MAIN_STATES, every=1000, flush=False)
    assert [bool(report.torn) for report in reports] == [True] * 3


@pytest.mark.parametrize("state", STAND_IN)
def test_power_loss_on_the_way_to_the_store(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """Bytes not flushed are lost after every tenth change of names and every rename: as above, others lose nothing."""
    skip_unless_possible(state, scratch)
    reports = powerloss.run(scratch, states=[state], every=10)
    figures = crash.totals(reports)
    count(f"power loss: states a journaling file system may leave, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", [*MAIN_STATES, "repair-two-dist-infos", "store", *STAND_IN])
def test_power_loss_in_every_state(state: str, scratch: Path, count: Callable[..., None]) -> None:
    """Bytes not flushed are lost after each change of names: nothing torn, wedged or left."""
    skip_unless_possible(state, scratch)
    reports = powerloss.run(scratch, states=[state])
    figures = crash.totals(reports)
    count(f"power loss: all states a journaling file system may leave, {state}", **figures)
    assert crash.failures(reports) == {}
    assert figures["points"] > 60
