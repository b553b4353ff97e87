"""Folders as callers and variables name them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelboot._parse import directories, directory


def test_folder_with_a_link(tmp_path: Path) -> None:
    """Links in a folder's path stay: what the user wrote is what is shown."""
    (tmp_path / "link").symlink_to(tmp_path)
    assert directory(tmp_path / "link" / "t") == tmp_path / "link" / "t"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(f"/a{os.pathsep}/b", ("/a", "/b"), id="text"),
        pytest.param(["/a", Path("/b")], ("/a", "/b"), id="list"),
        pytest.param(iter(["/a", "/b"]), ("/a", "/b"), id="iterator"),
        pytest.param(Path(f"/a{os.pathsep}b"), (f"/a{os.pathsep}b",), id="path"),
    ],
)
def test_folders_of_an_argument(paths: Any, expected: tuple[str, ...]) -> None:  # noqa: ANN401 - every form there is
    """Several folders may come as one text or as any iterable; a path is one folder, with the separator in its name."""
    assert directories(paths) == (*map(Path, expected),)
