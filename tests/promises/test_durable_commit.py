"""P2 and P3: a commit is made durable where it happened, with nothing beside it that a power failure could leave."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model, get_nlp
from modelboot.cli import main
from support.folders import everything, is_complete, leftovers, snapshot
from support.wheels import DIST_INFO, NAME, BuiltWheel


def committed(tmp_path: Path) -> list[Path]:
    """List the folders in which the model is seen by everybody, in the target or in the store."""
    return [path.parent for top in ("target", "home") for path in (tmp_path / top).rglob(DIST_INFO) if _is_seen(path)]


def _is_seen(dist_info: Path) -> bool:
    return ".modelboot" not in dist_info.parts and (dist_info / "RECORD").is_file()


def folder_of_the_commit(where: str, tmp_path: Path) -> Path:
    """Lay out a target, taken by somebody else if the store is to stand in; return whose list of names changes."""
    if where == "target":
        return tmp_path / "target"
    (tmp_path / "target" / f"{NAME}-0.1.dist-info").mkdir(parents=True)
    (tmp_path / "target" / f"{NAME}-0.1.dist-info" / "INSTALLER").write_text("pip\n", "utf-8")
    return tmp_path / "home"


def watch_flushes(monkeypatch: pytest.MonkeyPatch, see: Callable[[os.stat_result], None]) -> None:
    """Call something with what is flushed, before it is."""
    flush = os.fsync

    def seen(descriptor: int) -> None:
        see(os.fstat(descriptor))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", seen)


@pytest.mark.parametrize("where", ["target", "store"])
def test_commit_is_flushed_where_it_happened(
    where: str, pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last rename the folder whose list of names it changed is flushed: the target, or the store itself."""
    folder = folder_of_the_commit(where, tmp_path)
    flushed: list[os.stat_result] = []

    def see(entry: os.stat_result) -> None:
        if committed(tmp_path):
            flushed.append(entry)

    watch_flushes(monkeypatch, see)
    ensure_model(pin)
    assert len(committed(tmp_path)) == 1
    assert committed(tmp_path)[0].is_relative_to(folder)
    assert any(os.path.samestat(entry, folder.stat()) for entry in flushed)


@pytest.mark.parametrize("where", ["target", "store"])
def test_last_flush_that_fails_is_a_warning(
    where: str, pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The model is in place when the last flush fails: that is success, with a warning, and the next call finds it."""
    folder, failed = folder_of_the_commit(where, tmp_path), []

    def see(entry: os.stat_result) -> None:
        if committed(tmp_path) and os.path.samestat(entry, folder.stat()):
            failed.append(entry)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    watch_flushes(monkeypatch, see)
    with caplog.at_level(logging.WARNING, "modelboot"):
        assert ensure_model(pin).source == "release"
    assert len(failed) == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert os.strerror(errno.EIO) in warning
    (place,) = committed(tmp_path)
    assert is_complete(place, pin)
    assert ensure_model(pin).source == "present"


def test_scratch_is_gone_before_the_commit(
    pin: ModelPin, wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the model appears its wheel is gone from the work folder: a crash right then leaves no copy behind."""
    content, rename, seen = wheel.content, os.rename, {"unpacked": 0, "commits": 0, "committed": 0}

    def copies() -> int:
        return sum(path.is_file() and path.read_bytes() == content for path in target.rglob("*"))

    def flushing(_: os.stat_result) -> None:
        seen["unpacked"] = max(seen["unpacked"], copies())

    def renaming(source: Path, destination: Path) -> None:
        if destination.parent == target:
            seen["commits"] += 1
            seen["committed"] += copies()
        rename(source, destination)

    watch_flushes(monkeypatch, flushing)
    monkeypatch.setattr(os, "rename", renaming)
    ensure_model(pin)
    assert seen == {"unpacked": 1, "commits": 2, "committed": 0}
    assert leftovers(target, pin) == []


def add_neighbours(target: Path) -> None:
    """Put somebody else's package and a data file into the target."""
    (target / "other").mkdir(parents=True)
    (target / "other" / "__init__.py").touch()
    (target / "data.csv").write_text("1,2\n", "utf-8")


PARENTS = ["own work folder below another's", "no work folder at all"]


def lay_out(case: str, target: Path) -> None:
    """Bring a shared target into a state in which it must not be taken for a folder of the store."""
    if case == PARENTS[0]:  # the parent is a target, too
        (target.parent / ".modelboot").mkdir()
    else:  # a copy without dot folders
        shutil.rmtree(target / ".modelboot")


@pytest.mark.parametrize("case", PARENTS)
def test_uninstall_leaves_the_neighbours_in_a_shared_target(case: str, pin: ModelPin, target: Path) -> None:
    """Whatever work folders lie around it, a shared target is no folder of the store: all but the model stays."""
    add_neighbours(target)
    before = snapshot(target)
    ensure_model(pin)
    lay_out(case, target)
    assert main(["uninstall", NAME]) == 0
    after = {path: entry for path, entry in snapshot(target).items() if not path.startswith(".modelboot")}
    assert after == before


@pytest.mark.parametrize("case", PARENTS)
def test_repair_leaves_the_neighbours_in_a_shared_target(case: str, tiny_pin: ModelPin, target: Path) -> None:
    """The same for a repair: the model is whole again, and what lies beside it was not touched."""
    add_neighbours(target)
    before = everything(target)
    ensure_model(tiny_pin)
    lay_out(case, target)
    config = target / tiny_pin.name / f"{tiny_pin.name}-{tiny_pin.version}" / "config.cfg"
    config.write_bytes(b"\xc1" * config.stat().st_size)
    assert get_nlp(tiny_pin).meta["version"] == tiny_pin.version
    assert is_complete(target, tiny_pin)
    assert before <= everything(target)
