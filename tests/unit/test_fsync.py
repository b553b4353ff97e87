"""Flushes where folders cannot be opened; promises/test_durable_commit.py has what a user sees of them elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelboot import _fsync


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what the module is on Windows."""
    code = compile(Path(_fsync.__file__).read_text("utf-8"), _fsync.__file__, "exec")
    names: dict[str, Any] = {"__name__": "on_windows"}
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        exec(code, names)  # noqa: S102 - modelboot's own
    return SimpleNamespace(**names)


def test_fsync_on_windows(on_windows: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files alone are flushed, opened for writing as that system demands, and no folder is opened."""
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "file"
    file.touch()
    opened, really_open = list[tuple[Path, int]](), os.open

    def opening(path: str, flags: int) -> int:
        opened.append((Path(path), flags))
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", opening)
    on_windows.fsync_tree(tmp_path)
    on_windows.fsync_folder(tmp_path)
    assert opened == [(file, os.O_RDWR)]
