"""P4: without a lock that works the rename still keeps it right. With one: test_waiting.py."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import pin_arguments, python
from support.folders import WORK, is_complete, leftovers, snapshot
from support.races import LOCK_FAULTS, Race, hung, run
from support.states import STAND_IN, Builder, skip_unless_possible
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, small_wheel

pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

NO_LOCKS = [fault for fault in LOCK_FAULTS if fault]


SAMPLE = [("no-op", "replace"), ("ENOLCK", "fresh"), ("EOPNOTSUPP", "store-foreign-package"), ("EROFS", "repair")]
ROUNDS = [
    *((fault, state, 60) for fault in NO_LOCKS for state in ("fresh", "replace")),
    *((fault, state, 20) for fault in ("no-op", "ENOLCK") for state in STAND_IN),
]
RACES = [*((*case, 2) for case in SAMPLE), *(pytest.param(*case, marks=pytest.mark.exhaustive) for case in ROUNDS)]


@pytest.mark.parametrize(("fault", "state", "rounds"), RACES)
def test_race_without_locks_repeated_ends_whole(
    fault: str, state: str, rounds: int, scratch: Path, count: Callable[..., None]
) -> None:
    """Eight racers in every round, where locks do nothing or are refused: all succeed, with one whole model.

    Nothing is torn, wedged or left over, and others lose nothing.
    """
    skip_unless_possible(state, scratch)
    start = Builder(scratch).state(state)
    race = Race(pin=pin_arguments(start.pin), folder=str(scratch), locks=fault, rounds=rounds)
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(start.sandbox(race.root_of(number))) for number in range(rounds)]
        answers = run(race)
        everyone = [answer for answers_of_round in answers for answer in answers_of_round]
        torn = [torn for sandbox in sandboxes for torn in (*start.torn(sandbox), start.lacking(sandbox)) if torn]
        left = [left for sandbox in sandboxes for left in start.left(sandbox)]
        lost = [lost for sandbox in sandboxes for lost in start.lost(sandbox)]
        stores = [sandbox for sandbox in sandboxes if state not in STAND_IN and (sandbox.root / "home").exists()]
    figures = {"torn": len(torn), "wedged": hung(answers), "left": len(left), "lost": len(lost)}
    count(f"racers, {state}, locks: {fault}", points=len(everyone), **figures)
    assert len(everyone) == 8 * rounds
    assert [answer for answer in everyone if answer.get("version") != start.pin.version] == []
    assert (torn, left, lost, stores) == ([], [], [], [])


def test_rival_that_publishes_first_is_no_failure(
    pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rival's install appears just before the first rename: success with its model."""
    rival, rename = tmp_path / "rival", os.rename
    ensure_model(pin, target=rival)
    won: dict[str, object] = {}

    def too_late(source: Path, destination: Path) -> None:
        if destination.parent == target and not won:
            for top in (NAME, DIST_INFO):
                shutil.copytree(rival / top, target / top)
            won.update(snapshot(target, without=[WORK]))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", too_late)
    assert ensure_model(pin).version == VERSION
    assert len(won) > 5
    assert snapshot(target, without=[WORK]).items() >= won.items()
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


# --- move by move: what one racer does while another is in the middle of it

RACE = """
import fcntl, json, multiprocessing, os, sys
from pathlib import Path
import modelboot
from support.children import forked

pin, target, pause = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]), Path(sys.argv[5]), int(sys.argv[6])
half_way, over, taken = (multiprocessing.Event() for _ in range(3))
rename, renames = os.rename, []
fcntl.flock = lambda *_: None

def first():
    def renaming(source, destination):
        renames.extend(path for path in (source, destination) if path.parent == target)
        if len(renames) == pause and not half_way.is_set():
            half_way.set()
            taken.wait(0.3)
            over.set()
        rename(source, destination)
    os.rename = renaming
    return modelboot.ensure_model(pin).version

def second():
    def renaming(source, destination):
        if source.parent == target and not over.is_set():
            taken.set()
        rename(source, destination)
    os.rename = renaming
    half_way.wait(60)
    return modelboot.ensure_model(pin).version

print(json.dumps([forked([first, second]), half_way.is_set(), taken.is_set()]))
"""


@pytest.mark.parametrize(
    ("pause", "older"), [(2, False), (2, True), (3, True), (4, True)], ids=["fresh", "old", "none", "new"]
)
def test_half_published_model_is_left_to_the_racer_that_publishes_it(
    pause: int,
    older: bool,  # noqa: FBT001 - a case
    pin: ModelPin,
    tmp_path: Path,
) -> None:
    """A racer that meets a package without its dist-info, a rename away, takes nothing, and uses no store."""
    target = tmp_path / "target"
    if older:
        ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    done = python(RACE, *pin_arguments(pin), str(target), str(pause))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[VERSION, VERSION], True, False]
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []
    assert not (tmp_path / "home").exists()
