"""P2 and P3: a commit is made durable where it happened; a flush that fails before it fails the install."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock, call

import pytest

from modelboot import ModelbootError, ModelPin, _files, ensure_model, get_nlp
from modelboot.cli import main
from support.commands import failure, reference
from support.folders import WORK, is_complete, snapshot
from support.layers import refuse_renames
from support.wheels import DIST_INFO, NAME, OLDER, small_wheel

LAYOUTS = ("target", "store", "store after all")


def lay_out(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a target, into which the model goes or not; return the folder whose list of names the commit changes."""
    target = tmp_path / "target"
    if where == "target":
        return target
    ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    if where == "store":
        (target / f"{NAME}-{OLDER}.dist-info" / "INSTALLER").write_text("pip\n", "utf-8")
        return tmp_path / "home"
    refuse_renames(monkeypatch, lambda source, _: source.parent == target)
    return tmp_path / "home"


def committed(tmp_path: Path) -> list[Path]:
    """List the folders in which everybody sees the model, in the target or in the store."""
    seen = [path.parent for top in ("target", "home") for path in (tmp_path / top).rglob(f"{DIST_INFO}/RECORD")]
    return [dist_info.parent for dist_info in seen if WORK not in dist_info.parts]


@pytest.mark.parametrize("where", LAYOUTS)
def test_commit_is_flushed_where_it_happened(
    where: str, pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the last rename every file and folder is flushed, after it the folder whose list of names it changed."""
    folder = lay_out(where, tmp_path, monkeypatch)
    before, after = set[int](), set[int]()

    def flushing(descriptor: int) -> None:
        (after if committed(tmp_path) else before).add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", flushing)
    ensure_model(pin)
    (place,) = committed(tmp_path)
    assert place.is_relative_to(folder)
    tops = [place / NAME, place / DIST_INFO]
    unflushed = [path for top in tops for path in (top, *top.rglob("*")) if path.stat().st_ino not in before]
    assert unflushed == []
    assert folder.stat().st_ino in after


@pytest.mark.parametrize("where", LAYOUTS)
def test_flush_that_fails(
    where: str, pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the commit it fails the install, which leaves nothing; after that it is a warning, as the model is there.

    Every flush of an install fails in turn.
    """
    lay_out(where, tmp_path, monkeypatch)
    before, was_committed = snapshot(tmp_path, without=[WORK], copies=True), list[bool]()

    def fail_at(failing: int) -> None:
        numbers = itertools.count(1)

        def flushing(_: int) -> None:
            if next(numbers) == failing:
                was_committed.append(bool(committed(tmp_path)))
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", flushing)

    for number in itertools.count(1):
        caplog.clear()
        fail_at(number)
        try:
            ensure_model(pin)
        except ModelbootError:
            assert snapshot(tmp_path, without=[WORK], copies=True) == before
        else:
            break
    assert was_committed == [False] * (number - 1) + [True]
    assert number > 10
    assert os.strerror(errno.EIO) in caplog.text
    (place,) = committed(tmp_path)
    assert is_complete(place, pin)
    assert ensure_model(pin).source == "present"


@pytest.mark.parametrize("command", ["fetch", "uninstall"])
def test_flush_that_fails_in_a_command(
    command: str, pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error names the folder in question, as the system names none."""
    ensure_model(pin)
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(errno.EIO, "refused")))
    options: list[str | Path] = [] if command == "uninstall" else ["--dest", target]
    assert f"error: could not {command} {NAME} 1.0.0: {target}: refused" in failure(command, reference(pin), *options)


def test_fsync_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files alone are flushed, opened for writing as that system demands, and no folder is opened."""
    file, opening = tmp_path / "file", Mock(wraps=os.open)
    file.touch()
    monkeypatch.setattr(_files, "_OPENS_FOLDERS", False)
    monkeypatch.setattr(os, "open", opening)
    _files.fsync_tree(tmp_path)
    assert opening.mock_calls == [call(str(file), os.O_RDWR)]


def without_work_folder(target: Path) -> None:
    """Make a target look like a copy that was made without dot folders."""
    shutil.rmtree(target / WORK)


def below_a_work_folder(target: Path) -> None:
    """Make the parent of a target a target, too."""
    (target.parent / WORK).mkdir()


@pytest.mark.parametrize("spoil", [below_a_work_folder, without_work_folder])
def test_neighbours_in_a_shared_target_stay(spoil: Callable[[Path], None], tiny_pin: ModelPin, target: Path) -> None:
    """Whatever work folders lie around it, a shared target is not a folder of the store: repairs leave the rest."""
    (target / "other").mkdir(parents=True)
    (target / "other" / "__init__.py").touch()
    (target / "data.csv").write_text("1,2\n", "utf-8")
    before = snapshot(target)
    config = ensure_model(tiny_pin).path / "config.cfg"
    spoil(target)
    config.write_bytes(b"\xc1" * config.stat().st_size)
    assert get_nlp(tiny_pin).meta["version"] == tiny_pin.version
    assert is_complete(target, tiny_pin)
    assert snapshot(target, without=[WORK]).items() >= before.items()
    if spoil is without_work_folder:
        spoil(target)
    assert main(["uninstall", NAME]) == 0
    assert snapshot(target, without=[WORK]) == before
