"""Without a lock that works, the rename still keeps it right; with one, nobody waits for the dead."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import InstallError, ModelPin, ensure_model
from modelboot._install import lock as model_lock
from support.children import OTHER, command, environment, owned, pin_arguments, public_folder, skip_unless_other_user
from support.folders import dist_infos, is_complete, leftovers, names
from support.races import LOCK_FAULTS, Answer, Race, hung, run
from support.server import Reply
from support.states import STAND_IN, Builder, Sandbox, State, skip_unless_possible
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, BuiltWheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

fcntl = pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

HOLD = """
import sys, modelboot
modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""
NO_LOCKS = [fault for fault in LOCK_FAULTS if fault]


@pytest.fixture
def wheel() -> Iterator[BuiltWheel]:
    """Return a small wheel where every user can read it."""
    with public_folder() as folder:
        yield small_wheel(folder)


@pytest.fixture
def old(tmp_path: Path) -> BuiltWheel:
    """Return an older version of that wheel."""
    return small_wheel(tmp_path / "old", OLDER)


def race_for(wheel: BuiltWheel, folder: Path, **changes: object) -> Race:
    """Describe a race of eight for a wheel."""
    return Race(pin=pin_arguments(wheel.pin), folder=str(folder), **changes)  # type: ignore[arg-type]  # of Race's own types


def judge(race: Race, answers: list[list[Answer]], count: Callable[..., None], what: str) -> None:
    """Demand of every round: each racer succeeded, one complete model remains and nothing else."""
    everyone = [answer for answers_of_round in answers for answer in answers_of_round]
    targets = [(race.target_of(number), race.pin_of(number)) for number in range(race.rounds)]
    left = [name for target, pin in targets for name in leftovers(target, pin)]
    left += [home.name for home in map(race.home_of, range(race.rounds)) if home.exists()]
    torn = [target for target, pin in targets if not is_complete(target, pin) or len(dist_infos(target)) != 1]
    count(what, count=len(everyone), torn=len(torn), wedged=hung(answers), left=len(left))
    assert everyone
    assert [answer for answer in everyone if answer.get("version") != race.pin[1]] == []
    assert (torn, left) == ([], [])


@pytest.mark.parametrize("fault", NO_LOCKS)
def test_race_without_locks_ends_with_one_whole_model(
    fault: str, wheel: BuiltWheel, tmp_path: Path, count: Callable[..., None]
) -> None:
    """Eight racers at once, where locks do nothing or are refused: all succeed, one whole model, nothing left."""
    race = race_for(wheel, tmp_path, locks=fault, rounds=3)
    judge(race, run(race), count, f"racers, locks: {fault}")


@pytest.mark.parametrize("fault", ["no-op", "ENOLCK"])
def test_race_without_locks_replaces_an_older_version(
    fault: str, wheel: BuiltWheel, old: BuiltWheel, tmp_path: Path, count: Callable[..., None]
) -> None:
    """Eight racers replace modelboot's own older version without locks: one dist-info remains, the new one."""
    before = pin_arguments(old.pin)
    race = race_for(wheel, tmp_path, locks=fault, rounds=3, before=before)
    judge(race, run(race), count, f"racers replacing, locks: {fault}")


@pytest.mark.parametrize("state", STAND_IN)
@pytest.mark.parametrize("fault", ["no-op", "ENOLCK"])
def test_race_without_locks_to_the_store(fault: str, state: str, scratch: Path, count: Callable[..., None]) -> None:
    """Eight racers without locks where the store has to stand in: all succeed, one model, nothing of others lost."""
    race_to_the_store(state, fault, 3, scratch, count)


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STAND_IN)
@pytest.mark.parametrize("fault", NO_LOCKS)
def test_race_without_locks_to_the_store_repeated(
    fault: str, state: str, scratch: Path, count: Callable[..., None]
) -> None:
    """Sixty rounds of eight racers without locks where the store has to stand in: never torn, wedged or left over."""
    race_to_the_store(state, fault, 60, scratch, count)


def race_to_the_store(name: str, fault: str, rounds: int, scratch: Path, count: Callable[..., None]) -> None:
    """Let eight race in every round, each from a state of its own, and judge the rounds as the sweeps do."""
    skip_unless_possible(name, scratch)
    state = Builder(scratch).state(name)
    race = Race(pin=pin_arguments(state.pin), folder=str(scratch), locks=fault, rounds=rounds)
    sandboxes = [state.set_up(race.root_of(number)) for number in range(rounds)]
    try:
        answers = run(race)
        judge_store(state, sandboxes, answers, count, f"racers, {rounds} rounds, {name}, locks: {fault}")
    finally:
        for sandbox in sandboxes:
            state.tear_down(sandbox)


def judge_store(
    state: State, sandboxes: list[Sandbox], answers: list[list[Answer]], count: Callable[..., None], what: str
) -> None:
    """Demand of every round: each racer succeeded, one complete model is in the store, and others lost nothing."""
    everyone = [answer for answers_of_round in answers for answer in answers_of_round]
    torn = [torn for sandbox in sandboxes for torn in (*state.torn(sandbox), state.lacking(sandbox)) if torn]
    left = [left for sandbox in sandboxes for left in state.left(sandbox)]
    lost = [lost for sandbox in sandboxes for lost in state.lost(sandbox)]
    count(what, count=len(everyone), torn=len(torn), wedged=hung(answers), left=len(left), lost=len(lost))
    assert len(everyone) == 8 * len(sandboxes)
    assert [answer for answer in everyone if answer.get("version") != state.pin.version] == []
    assert (torn, left, lost) == ([], [], [])


@pytest.mark.exhaustive
@pytest.mark.parametrize("replacing", [False, True], ids=["fresh", "replacing"])
@pytest.mark.parametrize("fault", NO_LOCKS)
def test_race_without_locks_repeated_ends_whole(  # noqa: PLR0913, PLR0917 - most are fixtures
    fault: str,
    replacing: bool,  # noqa: FBT001 - a case
    wheel: BuiltWheel,
    old: BuiltWheel,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """Sixty rounds of eight racers without locks, fresh and replacing: never torn, wedged or left over."""
    before = pin_arguments(old.pin) if replacing else None
    race = race_for(wheel, tmp_path, locks=fault, rounds=60, before=before)
    judge(race, run(race), count, f"racers, 60 rounds{', replacing' if replacing else ''}, locks: {fault}")


@pytest.mark.parametrize("tops", [[NAME, DIST_INFO], [NAME]], ids=["whole", "its package only"])
def test_rival_that_publishes_first_is_no_failure(
    tops: list[str], wheel: BuiltWheel, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rival's install, whole or half, appears just before our first rename: success, one whole model."""
    pin, rival, rename = wheel.pin, tmp_path / "rival", os.rename
    ensure_model(pin, target=rival)

    def too_late(source: Path, destination: Path) -> None:
        if destination.parent == target and rival.exists():
            for top in tops:
                shutil.copytree(rival / top, target / top)
            shutil.rmtree(rival)
        rename(source, destination)

    monkeypatch.setattr(os, "rename", too_late)
    assert ensure_model(pin).version == VERSION
    assert not rival.exists()
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


def test_lock_file_of_another_user_does_not_stop_anybody(wheel: BuiltWheel, count: Callable[..., None]) -> None:
    """Root's lock file, closed to others, in a target that another user owns: that user's racers all succeed."""
    skip_unless_other_user()
    with public_folder() as folder:
        race = race_for(wheel, owned(folder, OTHER))
        lock = owned(owned(race.target_of(0), OTHER) / ".modelboot", OTHER) / f"{wheel.name}.lock"
        lock.touch(mode=0o600)
        judge(race, run(race, user=OTHER), count, "racers, another user's lock file")
        assert lock.stat().st_uid == 0


@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "dangling"])
def test_symlink_in_place_of_the_lock_file_is_not_followed(
    exists: bool,  # noqa: FBT001 - a case
    wheel: BuiltWheel,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """A link planted where the lock file goes: every racer succeeds, what it leads to is not touched or made."""
    victim = tmp_path / "victim"
    if exists:
        victim.write_bytes(b"do not touch\n")
    race = race_for(wheel, tmp_path)
    link = race.target_of(0) / ".modelboot" / f"{wheel.name}.lock"
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    judge(race, run(race), count, "racers, a planted symlink")
    assert link.is_symlink()
    assert (victim.read_bytes() if victim.exists() else None) == (b"do not touch\n" if exists else None)


def test_wait_for_a_live_holder_ends_at_the_deadline(
    tiny_pin: ModelPin,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A holder that never lets go is waited for until the deadline, with a log line now and then, then reported."""
    monkeypatch.setenv("MODELBOOT_DEADLINE", "0.5")
    monkeypatch.setattr(model_lock, "LOG_EVERY_S", 0.1)
    lock = target / ".modelboot" / f"{tiny_pin.name}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file, caplog.at_level(logging.INFO, "modelboot"):
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InstallError, match=r"another process has been installing it for 0\.5 s") as caught:
            ensure_model(tiny_pin)
    assert caught.value.fault == "busy"
    waits = [record.getMessage() for record in caplog.records if "waiting for another process" in record.getMessage()]
    assert 2 <= len(waits) <= 6
    assert "en_tiny_sm 1.0.0" in waits[0]
    assert leftovers(target, tiny_pin) == []


class Waiting(logging.Handler):
    """Notices the first log line of somebody who waits for the lock."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        super().__init__(logging.INFO)
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        if "waiting for another process" in record.getMessage():
            self.seen.set()


def test_killed_holder_frees_the_others_at_once(
    tiny: BuiltWheel, target: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder is killed in the middle of its download: who waits for it goes on, and its stage is swept."""
    monkeypatch.setattr(model_lock, "LOG_EVERY_S", 0.05)
    path = f"/{tiny.path.name}"
    pin = server.publish(tiny, Reply(body=tiny.content, stall="body"), Reply(body=tiny.content))
    waiting, logger, results = Waiting(), logging.getLogger("modelboot"), []
    logger.addHandler(waiting)
    logger.setLevel(logging.INFO)
    survivor = threading.Thread(target=lambda: results.append(ensure_model(pin)))
    holder = subprocess.Popen(command(HOLD, *pin_arguments(pin)), env=environment({}))
    try:
        assert server.wait_for(path)
        survivor.start()
        assert waiting.seen.wait(30)
        assert server.count(path) == 1
    finally:
        holder.kill()
        holder.wait()
    survivor.join(10)  # against a deadline of half an hour
    assert [result.source for result in results] == ["release"]
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []
    assert names(target / ".modelboot") == [f"{pin.name}.lock"]
