"""Without a lock that works, the rename still keeps it right; with one, nobody waits for the dead."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import InstallError, ModelPin, ensure_model
from support.children import OTHER, command, environment, owned, pin_arguments, public_folder, skip_unless_other_user
from support.folders import WORK, is_complete, leftovers, snapshot
from support.races import LOCK_FAULTS, Race, hung, run
from support.server import Reply
from support.states import STAND_IN, Builder, skip_unless_possible
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

HOLD = """
import sys, modelboot
modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""
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


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("replace", "no-op"),
        ("fresh", "ENOLCK"),
        ("store-foreign-package", "EOPNOTSUPP"),
        ("fresh", "ENOSYS"),
        ("repair", "EROFS"),
    ],
)
def test_race_without_locks_ends_with_one_whole_model(state: str, fault: str, race_without_locks: Racing) -> None:
    """Eight racers at once, where locks do nothing or are refused: all succeed, one whole model, nothing left."""
    race_without_locks(state, fault, 2)


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", ["fresh", "replace"])
@pytest.mark.parametrize("fault", NO_LOCKS)
def test_race_without_locks_repeated_ends_whole(fault: str, state: str, race_without_locks: Racing) -> None:
    """Sixty rounds of eight racers without locks, fresh and replacing: never torn, wedged or left over."""
    race_without_locks(state, fault, 60)


@pytest.mark.exhaustive
@pytest.mark.parametrize("state", STAND_IN)
@pytest.mark.parametrize("fault", ["no-op", "ENOLCK"])
def test_race_without_locks_to_the_store(fault: str, state: str, race_without_locks: Racing) -> None:
    """Twenty rounds without locks where the store has to stand in: the same, and others lose nothing."""
    race_without_locks(state, fault, 20)


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


@pytest.fixture
def public_wheel() -> Iterator[BuiltWheel]:
    """Return a small wheel where every user can read it."""
    with public_folder() as folder:
        yield small_wheel(folder)


def test_lock_file_of_another_user_stops_nobody(public_wheel: BuiltWheel) -> None:
    """Root's lock file, closed to others, in a target that another user owns: that user's racers all succeed."""
    skip_unless_other_user()
    with public_folder() as folder:
        race = Race(pin=pin_arguments(public_wheel.pin), folder=str(owned(folder, OTHER)), processes=4)
        target = owned(race.target_of(0), OTHER)
        (owned(target / WORK, OTHER) / f"{NAME}.lock").touch(mode=0o600)
        (answers,) = run(race, user=OTHER)
        assert [answer.get("version", answer) for answer in answers] == [VERSION] * 4
        assert is_complete(target, public_wheel.pin)
        assert leftovers(target, public_wheel.pin) == []


@pytest.mark.parametrize("content", ["do not touch\n", None], ids=["to a file", "dangling"])
def test_symlink_in_place_of_the_lock_file_is_not_followed(
    content: str | None, pin: ModelPin, target: Path, tmp_path: Path
) -> None:
    """A link planted where the lock file goes: the install succeeds, and what it leads to is not touched or made."""
    victim, link = tmp_path / "victim", target / WORK / f"{NAME}.lock"
    if content is not None:
        victim.write_text(content, "utf-8")
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert ensure_model(pin).version == VERSION
    assert (victim.read_text("utf-8") if victim.exists() else None) == content
    assert is_complete(target, pin)


def test_stuck_process_is_waited_for_until_the_deadline_and_not_when_it_is_dead(
    wheel: BuiltWheel, target: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process is stuck in its download: others wait, but not for ever; after its death they go on at once."""
    pin = server.publish(wheel, Reply(body=wheel.content, stall="body"), Reply(body=wheel.content))
    path, results = f"/{wheel.path.name}", list[str]()
    survivor = threading.Thread(target=lambda: results.append(ensure_model(pin).source))
    with subprocess.Popen(command(HOLD, *pin_arguments(pin)), env=environment({})) as holder:
        try:
            assert server.wait_for(path)
            monkeypatch.setenv("MODELBOOT_DEADLINE", "0.3")
            with pytest.raises(InstallError, match=r"for 0\.3 s") as caught:
                ensure_model(pin)
            monkeypatch.delenv("MODELBOOT_DEADLINE")
            survivor.start()
        finally:
            holder.kill()
    survivor.join(60)  # against a deadline of half an hour
    assert caught.value.fault == "busy"
    assert results == ["release"]
    assert server.count(path) == 2
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


@pytest.mark.exhaustive
def test_wait_is_logged_every_ten_seconds(
    wheel: BuiltWheel, server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that waits for another says so after ten seconds."""
    pin = server.publish(wheel, Reply(stall="headers"))
    monkeypatch.setenv("MODELBOOT_DEADLINE", "12")
    with subprocess.Popen(command(HOLD, *pin_arguments(pin)), env=environment({"MODELBOOT_DEADLINE": "60"})) as holder:
        try:
            assert server.wait_for(f"/{wheel.path.name}")
            with caplog.at_level("INFO", "modelboot"), pytest.raises(InstallError):
                ensure_model(pin)
        finally:
            holder.kill()
    waits = [record.getMessage() for record in caplog.records if "waiting for another process" in record.getMessage()]
    assert waits
    assert f"{NAME} {VERSION}" in waits[0]
