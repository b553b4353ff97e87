"""Renames are undone, all of them, when one fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelboot._install.publish import rename_all

NAMES = ("a", "b", "c", "d")
REFUSAL = OSError(errno.EIO, "refused")


@pytest.fixture
def renames(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Return renames of four folders, each with a file."""
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


def test_rename_all(tmp_path: Path, renames: list[tuple[Path, Path]]) -> None:
    """Every move is made."""
    rename_all(renames)
    assert files(tmp_path) == {f"to/{name}/file": name for name in NAMES}


def test_rename_all_in_order(monkeypatch: pytest.MonkeyPatch, renames: list[tuple[Path, Path]]) -> None:
    """Moves are made in the order given: what commits comes last."""
    made: list[tuple[Path, Path]] = []
    monkeypatch.setattr(os, "rename", lambda source, destination: made.append((source, destination)))
    rename_all(renames)
    assert made == renames


@pytest.mark.parametrize("error", [REFUSAL, KeyboardInterrupt("^C")], ids=["refused", "interrupted"])
@pytest.mark.parametrize("position", range(len(NAMES)))
def test_rename_all_rolled_back(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    renames: list[tuple[Path, Path]],
    position: int,
    error: BaseException,
) -> None:
    """Whichever move fails, everything is where it was, and the failure is the one that is raised."""
    before = files(tmp_path)
    fail_at(monkeypatch, position, error)
    with pytest.raises(type(error)) as caught:
        rename_all(renames)
    assert caught.value is error
    assert files(tmp_path) == before


def test_rename_all_rolled_back_last_first(tmp_path: Path) -> None:
    """A chain of renames is undone from its end, or what made way would be overwritten."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    chain = [("old", "aside"), ("new", "old"), ("missing", "other")]
    with pytest.raises(FileNotFoundError, match="missing"):
        rename_all([(tmp_path / source, tmp_path / destination) for source, destination in chain])
    assert files(tmp_path) == {"old/file": "old", "new/file": "new"}


def test_rename_all_with_a_racer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, renames: list[tuple[Path, Path]]
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
        rename_all(renames)
    here = {"from/c/file": "c", "from/d/file": "d"}
    assert files(tmp_path) == {**here, "from/b/file": "theirs", "to/a/file": "a", "to/b/file": "b"}
