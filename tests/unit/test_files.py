"""Renames wait for scanners."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from modelboot._files import rename


def in_use(winerror: int) -> PermissionError:
    """Return what Windows raises while a virus scanner reads what was just written."""
    error = PermissionError(errno.EACCES, "The process cannot access the file")
    error.winerror = winerror  # type: ignore[attr-defined]  # there is one on Windows only
    return error


@pytest.mark.parametrize(
    ("refusals", "is_done"),
    [
        pytest.param([in_use(32), in_use(5), in_use(32)], True, id="soon closed"),
        pytest.param([in_use(32)] * 99, False, id="never closed"),
        pytest.param([PermissionError(errno.EACCES, "no")], False, id="no permission"),
        pytest.param([FileExistsError(errno.EEXIST, "there")], False, id="there already"),
    ],
)
@pytest.mark.parametrize("replacing", [False, True])
def test_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: list[OSError], *, is_done: bool, replacing: bool
) -> None:
    """A file that a program has open is tried again for five seconds; no other refusal is."""
    change, pauses, left = ("replace" if replacing else "rename"), list[float](), refusals[:]
    really = getattr(os, change)

    def refusing(source: Path, destination: Path) -> None:
        if left:
            raise left.pop(0)
        really(source, destination)

    monkeypatch.setattr(os, change, refusing)
    monkeypatch.setattr(time, "sleep", pauses.append)
    (tmp_path / "old").touch()
    if is_done:
        rename(tmp_path / "old", tmp_path / "new", replacing=replacing)
        assert len(pauses) == len(refusals)
    else:
        with pytest.raises(type(refusals[0])):
            rename(tmp_path / "old", tmp_path / "new", replacing=replacing)
        assert sum(pauses) == pytest.approx(5 if len(refusals) > 1 else 0, abs=0.2)  # uv gives ten, others three
    assert [path.name for path in tmp_path.iterdir()] == ["new" if is_done else "old"]
