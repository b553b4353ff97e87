"""Races played move by move: what one racer does while another is in the middle of it, with locks and without."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelboot import ModelPin, ensure_model
from support.children import TIMEOUT_S, command, environment, pin_arguments
from support.folders import dist_infos, is_complete, leftovers, snapshot
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, BuiltWheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

fcntl = pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

PATIENCE_S = 60.0
"""After so many seconds a racer counts as hung."""


def nothing() -> None:
    """Do nothing."""


def around_listing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, before: Callable[[], None] = nothing, after: Callable[[], None]
) -> None:
    """Call something before a folder is listed, and after that, before anybody looks at what the list names."""
    listdir, scandir = os.listdir, os.scandir

    def listed(path: Any = ".") -> Any:  # noqa: ANN401 - as os.listdir
        if path not in {folder, str(folder)}:
            return listdir(path)
        before()
        entries = listdir(path)
        after()
        return entries

    @contextmanager
    def given(entries: list[os.DirEntry[str]]) -> Iterator[Iterator[os.DirEntry[str]]]:
        yield iter(entries)

    def scanned(path: Any = ".") -> Any:  # noqa: ANN401 - as os.scandir
        if path not in {folder, str(folder)}:
            return scandir(path)
        before()
        with scandir(path) as found:
            entries = list(found)
        after()
        return given(entries)

    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(os, "scandir", scanned)


def test_half_published_model_is_left_to_who_publishes_it(
    pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks, a racer that meets a package whose dist-info is a rename away waits, and takes nothing away.

    The first racer stands between its two renames until the second has looked at the target several times.
    """
    rename, flush = os.rename, os.fsync
    first, second = threading.Thread(), threading.Thread()
    half_way, go_on = threading.Event(), threading.Event()
    unpacked, looks, taken, results = [], [], [], []

    def renaming(source: Path, destination: Path) -> None:
        if threading.current_thread() is first and destination == target / DIST_INFO:
            half_way.set()
            assert go_on.wait(PATIENCE_S)
        if threading.current_thread() is second and source == target / NAME and not go_on.is_set():
            taken.append(source)
            go_on.set()
        rename(source, destination)

    def flushing(descriptor: int) -> None:
        flush(descriptor)
        if threading.current_thread() is second:
            unpacked.append(descriptor)

    def looked() -> None:
        if threading.current_thread() is second and unpacked:
            looks.append(1)
            if len(looks) == 5:  # one who does not wait looks twice at most before its first rename
                go_on.set()

    def install() -> None:
        results.append(ensure_model(pin).version)

    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    monkeypatch.setattr(os, "rename", renaming)
    monkeypatch.setattr(os, "fsync", flushing)
    around_listing(monkeypatch, target, after=looked)
    first, second = threading.Thread(target=install), threading.Thread(target=install)
    first.start()
    assert half_way.wait(PATIENCE_S)
    second.start()
    second.join(PATIENCE_S)
    first.join(PATIENCE_S)
    assert taken == []
    assert results == [VERSION, VERSION]
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


def test_winner_of_a_lost_race_stays(
    pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rival's equal model that appears before our first rename is taken as it is, not replaced by ours."""
    rival, rename = tmp_path / "rival", os.rename
    ensure_model(pin, target=rival)
    won: dict[str, Any] = {}

    def too_late(source: Path, destination: Path) -> None:
        if destination.parent == target and not won:
            for top in (NAME, DIST_INFO):
                rename(rival / top, target / top)
            won.update(models(target))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", too_late)
    assert ensure_model(pin).version == VERSION
    assert len(won) > 5
    assert models(target) == won
    assert leftovers(target, pin) == []


def models(target: Path) -> dict[str, Any]:
    """Take down the model in a target, inodes and all."""
    return {path: entry for path, entry in snapshot(target).items() if path.startswith(NAME)}


def test_dist_info_that_vanishes_under_the_look_is_nobodys(
    pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A racer takes the older dist-info away between list and look: the target is not taken, and no store stands in."""
    old = small_wheel(tmp_path / "old", OLDER).pin
    ensure_model(old)
    dist_info = target / f"{NAME}-{OLDER}.dist-info"
    backup = target / ".modelboot" / f"{NAME}.00000000.00000000.stage" / "backup0"  # as a racer has it
    backup.mkdir(parents=True)
    away = backup / dist_info.name
    rename, flush = os.rename, os.fsync
    vanished: list[Path] = []
    over: list[int] = []

    def take_away() -> None:
        if not over and dist_info.exists():
            vanished.append(dist_info)
            rename(dist_info, away)

    def put_back() -> None:
        if not over and away.exists():
            rename(away, dist_info)

    def flushing(descriptor: int) -> None:
        over.append(descriptor)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flushing)
    around_listing(monkeypatch, target, before=put_back, after=take_away)
    result = ensure_model(pin)
    assert len(vanished) > 1
    assert result.path.is_relative_to(target)
    assert is_complete(target, pin)
    assert dist_infos(target) == [DIST_INFO]
    assert not (tmp_path / "home").exists()


REPAIRING = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
import modelboot
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
print("loaded", nlp.meta["version"], flush=True)
"""


def test_racers_that_found_the_same_damage_repair_it_once(tiny: BuiltWheel, target: Path, server: ModelServer) -> None:
    """Two processes find the same altered file, then get the lock one after the other: one fetches, both load."""
    pin = server.publish(tiny)
    ensure_model(tiny.pin)
    config = target / pin.name / f"{pin.name}-{pin.version}" / "config.cfg"
    config.write_bytes(b"\xc1" * config.stat().st_size)
    words = command(REPAIRING, *pin_arguments(pin))
    with (target / ".modelboot" / f"{pin.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        racers = [subprocess.Popen(words, env=environment({}), stdout=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            found = [racer.stdout.readline() for racer in racers if racer.stdout is not None]
            fcntl.flock(lock, fcntl.LOCK_UN)
            said = [racer.communicate(timeout=TIMEOUT_S)[0] for racer in racers]
        finally:
            for racer in racers:
                racer.kill()
                racer.wait()
    assert ["config.cfg" in line for line in found] == [True, True]
    assert said == [f"loaded {pin.version}\n"] * 2
    assert len(server.requests) == 1
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []
