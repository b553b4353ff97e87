"""Flushes reach every file and folder, contents before the folder that names them; renames wait for scanners."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import _files
from modelboot._files import fsync_folder, fsync_tree, rename

REFUSAL = OSError(errno.EIO, "refused")


def open_files() -> int:
    """Count this process's open descriptors."""
    return len(os.listdir("/dev/fd"))


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return the inodes that are flushed, in order; afterwards no descriptor is left open."""
    inodes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: inodes.append(os.fstat(descriptor).st_ino))
    before = open_files()
    yield inodes
    assert open_files() == before


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with files at several depths, an empty folder among them."""
    root = tmp_path / "tree"
    for file in ("one", "a/two", "a/b/three"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    (root / "empty").mkdir()
    return root


def test_fsync_tree(flushed: list[int], tree: Path) -> None:
    """Every file and folder is flushed exactly once, the root too and nothing above it."""
    fsync_tree(tree)
    assert sorted(flushed) == sorted(path.stat().st_ino for path in [tree, *tree.rglob("*")])


def test_fsync_tree_content_first(flushed: list[int], tree: Path) -> None:
    """What a folder names is flushed before the folder."""
    fsync_tree(tree)
    paths = [tree, *tree.rglob("*")]
    order = {path: flushed.index(path.stat().st_ino) for path in paths}
    assert all(order[path] < order[path.parent] for path in paths if path != tree)


def test_fsync_folder(flushed: list[int], tree: Path) -> None:
    """A folder alone is flushed, without what is below it."""
    fsync_folder(tree)
    assert flushed == [tree.stat().st_ino]


def test_fsync_on_windows(flushed: list[int], tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where folders cannot be opened the files alone are flushed, opened for writing as that system demands."""
    modes: set[int] = set()
    real = os.open

    def noted(path: str | Path, flags: int) -> int:
        modes.add(flags)
        return real(path, flags)

    monkeypatch.setattr(_files, "_OPENS_FOLDERS", False)
    monkeypatch.setattr(os, "open", noted)
    fsync_tree(tree)
    fsync_folder(tree)
    assert sorted(flushed) == sorted(path.stat().st_ino for path in tree.rglob("*") if path.is_file())
    assert modes == {os.O_RDWR}


def test_fsync_refused(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    """A flush that fails is an error, and its descriptor is closed all the same."""

    def refuse(_: int) -> None:
        raise REFUSAL

    monkeypatch.setattr(os, "fsync", refuse)
    before = open_files()
    with pytest.raises(OSError, match="refused"):
        fsync_tree(tree)
    assert open_files() == before


def in_use(winerror: int) -> PermissionError:
    """Return what Windows raises while a virus scanner reads what was just written."""
    error = PermissionError(errno.EACCES, "The process cannot access the file")
    error.winerror = winerror  # type: ignore[attr-defined]  # there is one on Windows only
    return error


@pytest.fixture(params=["rename", "replace"])
def refusals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """Return a list of errors, which is empty: what a test puts there is raised by the next renames, one each."""
    errors: list[OSError] = []
    real = getattr(os, request.param)

    def change(source: Path, destination: Path) -> None:
        if errors:
            raise errors.pop(0)
        real(source, destination)

    monkeypatch.setattr(os, request.param, change)
    monkeypatch.setattr(_files, "_PAUSES_S", (0.001,) * 3)
    return errors


@pytest.fixture
def replacing(request: pytest.FixtureRequest) -> bool:
    """Tell which of the two is asked for."""
    return bool(request.node.callspec.params["refusals"] == "replace")


def test_rename_waits_for_scanners(refusals: list[OSError], tree: Path, *, replacing: bool) -> None:
    """While a program has the file open it is tried again, and then done."""
    refusals += [in_use(32), in_use(5), in_use(32)]
    rename(tree, tree.with_name("new"), replacing=replacing)
    assert not tree.exists()
    assert tree.with_name("new").is_dir()
    assert refusals == []


def test_rename_waits_for_ever_for_nobody(refusals: list[OSError], tree: Path, *, replacing: bool) -> None:
    """A file that stays open ends in the system's own error, and nothing has moved."""
    refusals += [in_use(32)] * 9
    with pytest.raises(PermissionError, match="cannot access"):
        rename(tree, tree.with_name("new"), replacing=replacing)
    assert len(refusals) == 9 - 4
    assert tree.is_dir()


@pytest.mark.parametrize("refusal", [PermissionError(errno.EACCES, "no"), FileExistsError(errno.EEXIST, "there")])
def test_rename_refused_for_good(refusals: list[OSError], tree: Path, refusal: OSError, *, replacing: bool) -> None:
    """No other failure is tried again: permission does not come by waiting."""
    refusals += [refusal] * 2
    with pytest.raises(type(refusal)):
        rename(tree, tree.with_name("new"), replacing=replacing)
    assert refusals == [refusal]


def test_rename_gives_scanners_seconds() -> None:
    """They are given about five seconds: uv gives them ten, others three."""
    assert sum(_files._PAUSES_S) == pytest.approx(5, abs=0.2)  # noqa: SLF001 - a figure that is documented
