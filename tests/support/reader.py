"""What somebody who knows nothing of modelboot sees in a folder. Independent of the code under test on purpose."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import stat
from pathlib import Path

ABSENT = "absent"
WORK = ".modelboot"


def sightings(root: Path, name: str) -> dict[str, str]:
    """Look at every folder below a root in which a dist-info of a model lies.

    Args:
        root: Where to look, at any depth but not in modelboot's own work folders, which no reader looks into.
        name: Name of the model.

    Returns:
        By dist-info, relative to the root: "whole", or what a reader would stumble over.
    """
    found = {}
    for folder, folders, _ in os.walk(root):
        folders[:] = sorted(entry for entry in folders if entry != WORK)
        for entry in folders:
            if entry.startswith(f"{name}-") and entry.endswith(".dist-info"):
                dist_info = Path(folder, entry)
                found[str(dist_info.relative_to(root))] = _judge(dist_info)
    return found


def recorded(dist_info: Path) -> list[str]:
    """List the files RECORD names, relative to the folder the dist-info lies in."""
    return [row[0] for row in _rows(dist_info)]


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    """Take down every folder and file below a root but modelboot's own work folders: mode, and digest or link."""
    taken = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [entry for entry in folders if entry != WORK]
        for path in (Path(folder, entry) for entry in (*folders, *files)):
            taken[str(path.relative_to(root))] = (path.lstat().st_mode, _content(path))
    return taken


def everything(root: Path) -> set[str]:
    """List every folder and file below a root, relative to it."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def _judge(dist_info: Path) -> str:
    """Tell whether every file RECORD names is there, of its size and with its bytes."""
    rows = _rows(dist_info)
    if not rows:
        return "no RECORD"
    for path, digest, size in rows:
        file = dist_info.parent / path
        if not file.is_file():
            return f"{path} is missing"
        if size and file.stat().st_size != int(size):
            return f"{path} has {file.stat().st_size} bytes in place of {size}"
        if digest and _sha256(file) != digest:
            return f"{path} has other bytes"
    return "whole"


def _rows(dist_info: Path) -> list[tuple[str, str, str]]:
    try:
        text = (dist_info / "RECORD").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [(row[0], row[1], row[2]) for row in csv.reader(text.replace("\0", "").splitlines()) if len(row) == 3]


def _content(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return str(path.readlink())
    return _sha256(path) if stat.S_ISREG(mode) else ""


def _sha256(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
