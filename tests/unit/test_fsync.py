"""Flushes where folders cannot be opened; promises/test_durable_commit.py has what a user sees of them elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelboot import _fsync


def test_fsync_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files alone are flushed, opened for writing as that system demands, and no folder is opened."""
    names: dict[str, Any] = {"__name__": "on_windows"}
    with monkeypatch.context() as patch:
        code = compile(Path(_fsync.__file__).read_text("utf-8"), _fsync.__file__, "exec")
        patch.setattr(os, "name", "nt")
        exec(code, names)  # noqa: S102 - modelboot's own
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    opened, really_open = list[tuple[str, int]](), os.open

    def opening(path: str, flags: int) -> int:
        opened.append((path, flags))
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", opening)
    names["fsync_tree"](tmp_path)
    names["fsync_folder"](tmp_path)
    assert opened == [(str(file), os.O_RDWR)]
