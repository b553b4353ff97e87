"""Renames are taken back when one fails, and flushes reach every file and folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot._files import fsync_folder, fsync_tree
from modelboot._install.publish import rename_all

NAMES = ("a", "b", "c", "d")
REFUSAL = OSError(errno.EIO, "refused")


@pytest.fixture
def moves(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Return moves of four folders, each with a file."""
    for name in NAMES:
        (tmp_path / "from" / name).mkdir(parents=True)
        (tmp_path / "from" / name / "file").write_text(name)
    (tmp_path / "to").mkdir()
    return [(tmp_path / "from" / name, tmp_path / "to" / name) for name in NAMES]


def files(root: Path) -> dict[str, str]:
    """Read every file below a folder."""
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def fail_at(monkeypatch: pytest.MonkeyPatch, position: int, error: BaseException) -> None:
    """Make the rename at this position fail, and no other."""
    rename, calls = os.rename, iter(range(100))

    def scripted(source: Path, destination: Path) -> None:
        if next(calls) == position:
            raise error
        rename(source, destination)

    monkeypatch.setattr(os, "rename", scripted)


def test_rename_all(tmp_path: Path, moves: list[tuple[Path, Path]]) -> None:
    """Every move is made."""
    rename_all(moves)
    assert files(tmp_path) == {f"to/{name}/file": name for name in NAMES}


def test_rename_all_in_order(monkeypatch: pytest.MonkeyPatch, moves: list[tuple[Path, Path]]) -> None:
    """Moves are made in the order given: what commits comes last."""
    made: list[tuple[Path, Path]] = []
    monkeypatch.setattr(os, "rename", lambda source, destination: made.append((source, destination)))
    rename_all(moves)
    assert made == moves


@pytest.mark.parametrize("error", [REFUSAL, KeyboardInterrupt("^C")], ids=["refused", "interrupted"])
@pytest.mark.parametrize("position", range(len(NAMES)))
def test_rename_all_taken_back(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    moves: list[tuple[Path, Path]],
    position: int,
    error: BaseException,
) -> None:
    """Whichever move fails, everything is where it was, and the failure is the one that is raised."""
    before = files(tmp_path)
    fail_at(monkeypatch, position, error)
    with pytest.raises(type(error)) as caught:
        rename_all(moves)
    assert caught.value is error
    assert files(tmp_path) == before


def test_rename_all_taken_back_last_first(tmp_path: Path) -> None:
    """A chain of moves is undone from its end, or what made room would be overwritten."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    chain = [("old", "aside"), ("new", "old"), ("missing", "other")]
    with pytest.raises(FileNotFoundError, match="missing"):
        rename_all([(tmp_path / source, tmp_path / destination) for source, destination in chain])
    assert files(tmp_path) == {"old/file": "old", "new/file": "new"}


def test_rename_all_with_a_racer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moves: list[tuple[Path, Path]]
) -> None:
    """Where somebody else has taken a place meanwhile theirs stays, and so does all that was moved before."""
    rename = os.rename

    def racing(source: Path, destination: Path) -> None:
        if source.name == "d":
            (tmp_path / "from" / "b").mkdir()
            (tmp_path / "from" / "b" / "file").write_text("theirs")
            raise REFUSAL
        rename(source, destination)

    monkeypatch.setattr(os, "rename", racing)
    with pytest.raises(OSError, match="refused"):
        rename_all(moves)
    here = {"from/c/file": "c", "from/d/file": "d"}
    assert files(tmp_path) == {**here, "from/b/file": "theirs", "to/a/file": "a", "to/b/file": "b"}


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


def test_flush_tree(flushed: list[int], tree: Path) -> None:
    """Every file and folder is flushed exactly once, the root too and nothing above it."""
    fsync_tree(tree)
    assert sorted(flushed) == sorted(path.stat().st_ino for path in [tree, *tree.rglob("*")])


def test_flush_tree_content_first(flushed: list[int], tree: Path) -> None:
    """What a folder names is flushed before the folder."""
    fsync_tree(tree)
    paths = [tree, *tree.rglob("*")]
    order = {path: flushed.index(path.stat().st_ino) for path in paths}
    assert all(order[path] < order[path.parent] for path in paths if path != tree)


def test_flush_folder(flushed: list[int], tree: Path) -> None:
    """A folder alone is flushed, without what is below it."""
    fsync_folder(tree)
    assert flushed == [tree.stat().st_ino]


def test_flush_refused(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    """A flush that fails is an error, and its descriptor is closed all the same."""

    def refuse(_: int) -> None:
        raise REFUSAL

    monkeypatch.setattr(os, "fsync", refuse)
    before = open_files()
    with pytest.raises(OSError, match="refused"):
        fsync_tree(tree)
    assert open_files() == before
