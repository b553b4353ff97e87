"""What a target looks like: whole or torn, what is left in it, and the bytes and modes of all its files."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from modelboot._install import installed as _store
from modelboot._install.target import WORK

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot import ModelPin


class Entry(NamedTuple):
    """One file or folder; two that are equal have not been written or replaced in between."""

    inode: int
    mode: int
    content: bytes


def snapshot(folder: Path) -> dict[str, Entry]:
    """Note every file and folder below a folder, byte code left out."""
    return {
        path.relative_to(folder).as_posix(): _entry(path)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def _entry(path: Path) -> Entry:
    facts = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
    return Entry(facts.st_ino, stat.S_IMODE(facts.st_mode), content)


def modes(folder: Path, *tops: str) -> dict[str, str]:
    """Return the mode of every file and folder below those of that name, as chmod writes it."""
    return {path: f"{entry.mode:o}" for path, entry in snapshot(folder).items() if path.partition("/")[0] in tops}


def is_whole(folder: Path, pin: ModelPin) -> bool:
    """Tell whether a model is installed with every byte it should have."""
    found = _store.look(folder, pin).found
    return found is not None and not _store.altered(found) and not _store.unrecorded(found)


def names(folder: Path) -> list[str]:
    """List what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def dist_infos(folder: Path) -> list[str]:
    """List the dist-infos in a folder."""
    return sorted(path.name for path in folder.glob("*.dist-info"))


def leftovers(folder: Path, *pins: ModelPin) -> list[str]:
    """List what an install left behind: all but the models, the folder for locks, and the lock files in it."""
    models = {name for pin in pins for name in (pin.name, f"{pin.name}-{pin.version}.dist-info")}
    tops = [path.name for path in folder.glob("*") if path.name not in {WORK, *models}]
    work = [path.name for path in (folder / WORK).glob("*") if path.suffix != ".lock"]
    return sorted([*tops, *work])
