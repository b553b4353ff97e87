"""P2 without locks: what a failed publish takes back never lies beside a racer's package."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot._install.publish import rename_all

Moves = list["tuple[Path, Path]"]


@pytest.fixture
def moves(tmp_path: Path) -> Moves:
    """Return the renames of a replacement, with everything in its place."""
    target, aside, built = (tmp_path / name for name in ("target", "aside", "built"))
    aside.mkdir()
    for folder, content in ((target / "x", "old"), (target / "x-1.dist-info", "old"), (built / "x", "new")):
        folder.mkdir(parents=True)
        (folder / "content").write_text(content, "utf-8")
    (built / "x-2.dist-info").mkdir()
    return [
        (target / "x-1.dist-info", aside / "x-1.dist-info"),
        (target / "x", aside / "x"),
        (built / "x", target / "x"),
        (built / "x-2.dist-info", target / "x-2.dist-info"),
    ]


@pytest.mark.parametrize("failing", range(4))
def test_renames_refused_are_taken_back(
    failing: int, moves: Moves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever rename is refused, everything is where it was."""
    before = sorted(tmp_path.rglob("*"))

    def refuse(number: int) -> None:
        if number == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    _before_each_rename(monkeypatch, refuse)
    with pytest.raises(OSError, match="Input/output error"):
        rename_all(moves)
    assert sorted(tmp_path.rglob("*")) == before


def test_renames_overtaken_by_a_racer_leave_the_old_dist_info_out(
    moves: Moves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A racer's package came in between: it stays, and the old dist-info does not come back to lie beside it."""
    package = tmp_path / "target" / "x"

    def race(number: int) -> None:
        if number == 2:
            package.mkdir()
            (package / "content").write_text("the racer's", "utf-8")

    _before_each_rename(monkeypatch, race)
    with pytest.raises(OSError, match="not empty") as caught:
        rename_all(moves)
    assert caught.value.errno in {errno.ENOTEMPTY, errno.EEXIST}
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["x"]
    assert (package / "content").read_text("utf-8") == "the racer's"


def _before_each_rename(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call something with the number of each rename, from 0, before it is made."""
    rename, made = os.rename, []

    def acting(source: Path, destination: Path) -> None:
        made.append(source)
        act(len(made) - 1)
        rename(source, destination)

    monkeypatch.setattr(os, "rename", acting)
