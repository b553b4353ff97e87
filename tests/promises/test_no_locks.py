"""P4: without a lock that works the rename still keeps it right. With one: test_waiting.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import pin_arguments
from support.folders import WORK, is_complete, leftovers, snapshot
from support.races import LOCK_FAULTS, Race, hung, run
from support.states import STAND_IN, Builder, skip_unless_possible
from support.wheels import DIST_INFO, NAME, VERSION

pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

NO_LOCKS = [fault for fault in LOCK_FAULTS if fault]
Racing = Callable[[str, str, int], None]


@pytest.fixture
def race_without_locks(scratch: Path, count: Callable[..., None]) -> Racing:
    """Return what lets eight race in every round, each from a state of its own, and judges as the sweeps do."""

    def race(name: str, fault: str, rounds: int) -> None:
        skip_unless_possible(name, scratch)
        state = Builder(scratch).state(name)
        what = Race(pin=pin_arguments(state.pin), folder=str(scratch), locks=fault, rounds=rounds)
        with ExitStack() as stack:
            sandboxes = [stack.enter_context(state.sandbox(what.root_of(number))) for number in range(rounds)]
            answers = run(what)
            everyone = [answer for answers_of_round in answers for answer in answers_of_round]
            torn = [torn for sandbox in sandboxes for torn in (*state.torn(sandbox), state.lacking(sandbox)) if torn]
            left = [left for sandbox in sandboxes for left in state.left(sandbox)]
            lost = [lost for sandbox in sandboxes for lost in state.lost(sandbox)]
            stores = [sandbox for sandbox in sandboxes if name not in STAND_IN and (sandbox.root / "home").exists()]
        figures = {"torn": len(torn), "wedged": hung(answers), "left": len(left), "lost": len(lost)}
        count(f"racers, {name}, locks: {fault}", points=len(everyone), **figures)
        assert len(everyone) == 8 * rounds
        assert [answer for answer in everyone if answer.get("version") != state.pin.version] == []
        assert (torn, left, lost, stores) == ([], [], [], [])

    return race


SAMPLE = [("no-op", "replace"), ("ENOLCK", "fresh"), ("EOPNOTSUPP", "store-foreign-package"), ("EROFS", "repair")]


@pytest.mark.parametrize(("fault", "state"), SAMPLE)
def test_race_without_locks_ends_with_one_whole_model(fault: str, state: str, race_without_locks: Racing) -> None:
    """Eight racers at once, where locks do nothing or are refused: all succeed, one whole model, nothing left."""
    race_without_locks(state, fault, 2)


ROUNDS = [
    *((fault, state, 60) for fault in NO_LOCKS for state in ("fresh", "replace")),
    *((fault, state, 20) for fault in ("no-op", "ENOLCK") for state in STAND_IN),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("fault", "state", "rounds"), ROUNDS)
def test_race_without_locks_repeated_ends_whole(
    fault: str, state: str, rounds: int, race_without_locks: Racing
) -> None:
    """Round after round of eight racers without locks: never torn, wedged or left over, and others lose nothing."""
    race_without_locks(state, fault, rounds)


@pytest.mark.parametrize("tops", [[NAME, DIST_INFO], [NAME]], ids=["whole", "its package only"])
def test_rival_that_publishes_first_is_no_failure(
    tops: list[str], pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rival's install appears just before the first rename: success with its model, or with a whole one."""
    rival, rename = tmp_path / "rival", os.rename
    ensure_model(pin, target=rival)
    won: dict[str, object] = {}

    def too_late(source: Path, destination: Path) -> None:
        if destination.parent == target and not won:
            for top in tops:
                shutil.copytree(rival / top, target / top)
            won.update(snapshot(target, without=[WORK]))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", too_late)
    assert ensure_model(pin).version == VERSION
    assert len(won) > 5
    assert DIST_INFO not in tops or snapshot(target, without=[WORK]).items() >= won.items()
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


def test_dangling_link_in_place_of_the_lock_file_is_not_followed(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A link planted where the lock file goes: the install succeeds, and what it leads to is not made."""
    (target / WORK).mkdir(parents=True)
    (target / WORK / f"{NAME}.lock").symlink_to(tmp_path / "victim")
    assert ensure_model(pin).version == VERSION
    assert not (tmp_path / "victim").exists()
    assert is_complete(target, pin)
