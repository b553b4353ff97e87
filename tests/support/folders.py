"""What is in a folder, and whether a model in it is complete: judged without any of the code under test.

Started as a program, `python -m support.folders FOLDER NAME`, it watches a folder as a reader who takes no lock does.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import select
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # or the judge would run the code under test
    from modelboot import ModelPin

WORK = ".modelboot"
"""Modelboot's own work folder in a target, which no reader looks into."""
BYTECODE = "__pycache__"


class Entry(NamedTuple):
    """One file or folder; two that are equal have not been written or replaced in between."""

    mode: int
    content: str
    """SHA-256 of a file, target of a link, empty for all else."""
    inode: int = 0
    written_ns: int = 0
    """When a file was last written, or an entry of a folder last made or removed, if that counts; 0 for all else."""


def snapshot(
    folder: Path, *, without: Collection[str] = (BYTECODE,), copies: bool = False, strict: bool = False
) -> dict[str, Entry]:
    """Record a folder and every folder and file below it.

    Args:
        folder: The top, which is "."; it need not exist.
        without: Names of folders that are left out, wherever they are.
        copies: Whether a copy counts as equal: inodes and times are left out.
        strict: Whether a file that was made and removed again shows, too, by the time of the folder it was in.

    Returns:
        What is there, by its path relative to the top.
    """
    entries = {path.relative_to(folder).as_posix(): _entry(path, strict=strict) for path in _walk(folder, without)}
    return {path: entry._replace(inode=0, written_ns=0) for path, entry in entries.items()} if copies else entries


def _walk(folder: Path, without: Collection[str]) -> Iterator[Path]:
    if os.path.lexists(folder):
        yield folder
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        yield from (Path(top, name) for name in (*folders, *files))


def _entry(path: Path, *, strict: bool) -> Entry:
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        return Entry(facts.st_mode, str(path.readlink()), facts.st_ino)
    if stat.S_ISREG(facts.st_mode):
        return Entry(facts.st_mode, _sha256(path.read_bytes()), facts.st_ino, facts.st_mtime_ns)
    return Entry(facts.st_mode, "", facts.st_ino, facts.st_mtime_ns if strict else 0)


def modes(folder: Path, *tops: str) -> dict[str, str]:
    """Return the mode of every file and folder below those of that name, as chmod writes it."""
    taken = snapshot(folder)
    return {path: f"{stat.S_IMODE(entry.mode):o}" for path, entry in taken.items() if path.partition("/")[0] in tops}


def everything(root: Path) -> set[str]:
    """List every folder and file below a root, relative to it."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def names(folder: Path) -> list[str]:
    """List the entries of a folder."""
    return sorted(path.name for path in folder.iterdir())


def dist_infos(folder: Path) -> list[str]:
    """List the dist-info folders in a folder."""
    return sorted(path.name for path in folder.glob("*.dist-info"))


def leftovers(folder: Path, *pins: ModelPin) -> list[str]:
    """List what an install left behind: everything but the models, the folder for locks and the lock files in it."""
    models = {name for pin in pins for name in (pin.name, f"{pin.name}-{pin.version}.dist-info")}
    tops = [path.name for path in folder.glob("*") if path.name not in {WORK, *models}]
    work = [path.name for path in (folder / WORK).glob("*") if path.suffix != ".lock"]
    return sorted([*tops, *work])


def parts_below(folder: Path) -> list[Path]:
    """List part files, their notes and stages, wherever they are below a folder."""
    return [path for path in folder.rglob("*") if path.suffix == ".stage" or ".part" in path.name]


def is_complete(folder: Path, pin: ModelPin) -> bool:
    """Return True if a model is installed from the pinned wheel, with every byte it should have and no further file."""
    dist_info = folder / f"{pin.name}-{pin.version}.dist-info"
    there = {
        path.relative_to(folder).as_posix()
        for path in (*_walk(folder / pin.name, [BYTECODE]), *_walk(dist_info, [BYTECODE]))
        if not path.is_dir()
    }
    needed = {f"{pin.name}/__init__.py", f"{dist_info.name}/RECORD"}
    return (
        _judge(dist_info) == "complete"
        and (dist_info / "RECORD").read_bytes().endswith(b"\n")  # else it was cut short, perhaps behind the last size
        and needed <= there <= set(recorded(dist_info))
        and _origin(dist_info) in {None, pin.sha256}
    )


def _origin(dist_info: Path) -> str | None:
    """Return the hash of the wheel as direct_url.json names it; None when there is no such file."""
    file = dist_info / "direct_url.json"
    return str(json.loads(file.read_text("utf-8"))["archive_info"]["hashes"]["sha256"]) if file.exists() else None


def sightings(root: Path, name: str) -> dict[str, str]:
    """Look at every folder below a root in which a dist-info of a model lies.

    Args:
        root: Where to look, at any depth but not in modelboot's own work folders, which no reader looks into.
        name: Name of the model.

    Returns:
        By dist-info, relative to the root: "complete", or what a reader would stumble over.
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


def _judge(dist_info: Path) -> str:
    """Return "complete" if every file RECORD names is there, of its size and with its bytes; else what is wrong."""
    rows = _rows(dist_info)
    for path, digest, size in rows:
        try:
            content = (dist_info.parent / path).read_bytes()
        except OSError:
            return f"{path} is missing"
        if size and len(content) != int(size):
            return f"{path} has {len(content)} bytes in place of {size}"
        if digest and _sha256(content) != digest:
            return f"{path} has other bytes"
    return "complete" if rows else "no RECORD"


def _rows(dist_info: Path) -> list[tuple[str, str, str]]:
    try:
        text = (dist_info / "RECORD").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [(row[0], row[1], row[2]) for row in csv.reader(text.replace("\0", "").splitlines()) if len(row) == 3]


def _sha256(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def watch(folder: Path, name: str) -> None:
    """Look as fast as possible until standard input ends; say "ready" first, at the end the counts and what was torn.

    A model that is taken away while it is looked at is not torn: a look counts as torn only when the same dist-info is
    still in its place afterwards. The open descriptor keeps its inode from being given to another folder meanwhile.
    """
    looks, torn, is_over = {"absent": 0, "complete": 0, "gone": 0}, list[str](), False
    print("ready", flush=True)  # noqa: T201 - a program's result
    while not is_over:  # the last look is at what the end of the input has left
        is_over = bool(select.select([sys.stdin], [], [], 0)[0])
        for seen in look(folder, name):
            if seen in looks:
                looks[seen] += 1
            else:
                torn.append(seen)
    print(json.dumps([looks, torn]))  # noqa: T201 - a program's result


def look(folder: Path, name: str) -> Iterator[str]:
    """Yield what each dist-info is: "complete", "gone" (taken away meanwhile), or what is torn; or "absent", once."""
    dist_infos = [*folder.glob(f"{name}-*.dist-info")]
    for dist_info in dist_infos:
        held = None
        try:
            held = os.open(dist_info, os.O_RDONLY | os.O_DIRECTORY)
            fault = _judge(dist_info)
            yield fault if fault == "complete" or os.path.samestat(os.stat(dist_info), os.fstat(held)) else "gone"
        except FileNotFoundError:
            yield "gone"
        finally:
            if held is not None:
                os.close(held)
    if not dist_infos:
        yield "absent"


if __name__ == "__main__":
    watch(Path(sys.argv[1]), sys.argv[2])
