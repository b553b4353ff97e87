"""Flushes reach every file and folder, contents before the folder that names them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import _fsync
from modelboot._fsync import fsync_folder, fsync_tree

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

    monkeypatch.setattr(_fsync, "_OPENS_FOLDERS", False)
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
