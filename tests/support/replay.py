"""Kills and power failures at each operation of an install, replayed from a log of what it did to the disk.

One install is recorded. A killed process leaves all that it has written. A journaling file system that has lost its
power keeps the changes of names (create, mkdir, rename, remove) in the order in which they were made, some first part
of them, and the bytes of a file only if it was flushed with fsync before that; else the file is empty, or of its size
and full of zeros. That is what ext4 and XFS promise; what was on the disk before the install is taken to be safe.

The log misses nothing, or the sweep fails: all of it replayed gives the very tree that the install left, and on the
way there every file that was removed.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.crash import Point, Watch
from support.states import Outcome, attempt

if TYPE_CHECKING:
    from support.states import Sandbox, State

KILLS = ("kill", "kill-in-write")
SWEEPS = (*KILLS, "power-loss", "power-loss-without-fsync")
Loss = Callable[[bytes], bytes]
LOSSES: dict[str, Loss] = {"empty": lambda _: b"", "zeros": lambda data: bytes(len(data))}
"""What may be in a file that was not flushed when the power failed; after a kill its `bytes` are all there."""


@dataclass(slots=True)
class File:
    """A file: its bytes as programs see them, and those that are safe."""

    data: bytes = b""
    safe: bytes | None = field(default=None, compare=False)

    def after(self, loss: Loss) -> bytes:
        """Return its bytes after a kill or a power failure."""
        return self.safe if self.safe is not None else loss(self.data)


@dataclass(slots=True)
class Folder:
    """A folder: its entries by name."""

    entries: dict[str, File | Folder] = field(default_factory=dict)


NEW: dict[str, Callable[[], File | Folder]] = {"open": File, "truncate": File, "os.mkdir": Folder}
"""What a step makes where there is nothing yet."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an install, by paths relative to the sandbox."""

    kind: str
    path: str
    other: str = ""
    """Where a rename leads."""
    data: bytes = b""
    """What is written, or was in a file that is removed."""
    at: int = 0
    """Where in the file it is written."""


class Disk:
    """The tree of a sandbox, changed by steps."""

    def __init__(self, state: State) -> None:
        """Start with what a state has; in a lower layer of an image no folder can be renamed."""
        self.top = read(state.template.root)
        self._fixed = [*_folders(self.top)] if state.layered else []

    def apply(self, step: Step) -> None:
        """Make a step. What the file system would refuse changes nothing, as it did when it was recorded."""
        parent, name = self._find(step.path)
        if parent is None:
            return
        there = parent.entries.get(name)
        if isinstance(there, File):
            _change(there, step)
        if _makes_room(there, step):
            del parent.entries[name]
        elif there is None and step.kind in NEW:
            parent.entries[name] = NEW[step.kind]()
        elif there is not None and step.kind == "os.rename":
            self._rename(parent, name, step.other)

    def _rename(self, parent: Folder, name: str, to: str) -> None:
        new_parent, new_name = self._find(to)
        is_fixed = any(parent.entries[name] is folder for folder in self._fixed)
        if new_parent is not None and not is_fixed:
            new_parent.entries[new_name] = parent.entries.pop(name)

    def bytes_of(self, path: str) -> bytes:
        """Return what is in a file; nothing, where there is none."""
        parent, name = self._find(path)
        there = parent.entries.get(name) if parent is not None else None
        return there.data if isinstance(there, File) else b""

    def _find(self, path: str) -> tuple[Folder | None, str]:
        """Find the folder that a path is in."""
        folder: File | Folder | None = self.top
        *parents, name = Path(path).parts
        for part in parents:
            folder = folder.entries.get(part) if isinstance(folder, Folder) else None
        return (folder if isinstance(folder, Folder) else None), name


def _change(file: File, step: Step) -> None:
    """Change the bytes of a file."""
    if step.kind == "truncate":
        file.data, file.safe = b"", b""
    elif step.kind == "write":
        file.data = file.data[: step.at] + step.data + file.data[step.at + len(step.data) :]
        file.safe = None
    elif step.kind == "fsync":
        file.safe = file.data


def _makes_room(there: File | Folder | None, step: Step) -> bool:
    """Return True if a step removes what is there."""
    if isinstance(there, Folder):
        return step.kind == "os.rmdir" and not there.entries
    return there is not None and step.kind == "os.remove"


def _folders(folder: Folder) -> Iterator[Folder]:
    """Yield a folder and every folder below it."""
    yield folder
    for entry in folder.entries.values():
        if isinstance(entry, Folder):
            yield from _folders(entry)


def read(path: Path) -> Folder:
    """Read a tree from the disk; all of it is safe."""
    entries: dict[str, File | Folder] = {}
    for entry in path.iterdir():
        data = b"" if entry.is_dir() else entry.read_bytes()
        entries[entry.name] = read(entry) if entry.is_dir() else File(data, data)
    return Folder(entries)


def materialise(folder: Folder, path: Path, loss: Loss) -> None:
    """Make a tree real, as it is found after the failure, in a folder that has what was there before."""
    path.mkdir(exist_ok=True)
    for there in path.iterdir():
        if there.name not in folder.entries:
            shutil.rmtree(there) if there.is_dir() else there.unlink()
    for name, entry in folder.entries.items():
        if isinstance(entry, Folder):
            materialise(entry, path / name, loss)
        elif not (path / name).exists() or (path / name).read_bytes() != entry.after(loss):
            (path / name).write_bytes(entry.after(loss))


class Recorder:
    """Records the steps of an install, in the process that makes it."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Record what happens below a sandbox."""
        self._root = sandbox.root
        self.steps: list[Step] = []

    def __call__(self, _: int, kind: str, arguments: tuple[Any, ...]) -> None:
        """Note an operation that is about to happen."""
        step = self._step(kind, arguments)
        if not step.path.startswith(os.pardir):
            self.steps.append(step)

    def _step(self, kind: str, arguments: tuple[Any, ...]) -> Step:
        if kind == "fsync":
            return Step(kind, self._relative(Path(f"/proc/self/fd/{arguments[0]}").readlink()))
        if kind == "write":
            return Step(kind, self._relative(arguments[0]), data=arguments[1], at=arguments[2])
        if kind == "os.rename":
            return Step(kind, self._relative(arguments[0], arguments[2]), self._relative(arguments[1], arguments[3]))
        if kind == "open":
            return Step("truncate" if arguments[2] & os.O_TRUNC else kind, self._relative(arguments[0]))
        folder = arguments[-1] if kind in {"os.mkdir", "os.remove", "os.rmdir"} else -1
        path = self._relative(arguments[0], folder)
        is_lost = kind == "os.remove" and (self._root / path).is_file()
        return Step(kind, path, data=(self._root / path).read_bytes() if is_lost else b"")

    def _relative(self, path: Any, folder: int = -1) -> str:  # noqa: ANN401 - str, bytes or Path
        start = Path.cwd() if folder == -1 else Path(f"/proc/self/fd/{folder}").readlink()
        return os.path.relpath(start / os.fsdecode(path), self._root)


def record(state: State, root: Path) -> list[Step]:
    """Install once, undisturbed, and return the steps.

    Raises:
        AssertionError: They do not lead to the tree that this install left: something was not seen.
    """
    notes = root.with_suffix(".steps")

    def install() -> None:
        recorder = Recorder(sandbox)
        Watch(recorder).install(state, sandbox)
        notes.write_bytes(pickle.dumps(recorder.steps))

    disk = Disk(state)
    with state.sandbox(root) as sandbox:
        assert attempt(install).result
        steps: list[Step] = pickle.loads(notes.read_bytes())  # noqa: S301 - written above
        for step in steps:
            assert step.kind != "os.remove" or disk.bytes_of(step.path) == step.data, f"the log lacks {step.path}"
            disk.apply(step)
        assert disk.top == read(sandbox.root), "the log of the install is not complete"
    return steps


def points(state: State, root: Path, sweep: str) -> Iterator[Point]:
    """Yield every point at which an install is killed or loses its power; each is to be used before the next."""
    disk = Disk(state)
    for number, step in enumerate(record(state, root), start=1):
        name = f"{number} {step.kind} {step.path}"
        if sweep == "kill":
            yield Point(f"before {name}", step.kind, partial(_leave, disk, bytes))
        if sweep == "kill-in-write" and step.kind == "write":
            for size in (1, len(step.data) // 2, len(step.data) - 1):
                disk.apply(replace(step, data=step.data[:size]))
                yield Point(f"{name}, {size} bytes of it", step.kind, partial(_leave, disk, bytes))
        if sweep != "power-loss-without-fsync" or step.kind != "fsync":
            disk.apply(step)
        if sweep not in KILLS and step.kind not in {"write", "fsync"}:
            for lost, loss in LOSSES.items():
                yield Point(f"after {name}, {lost}", step.kind, partial(_leave, disk, loss))


def _leave(disk: Disk, loss: Loss, sandbox: Sandbox) -> Outcome:
    """Leave a sandbox as the failure does."""
    materialise(disk.top, sandbox.root, loss)
    return Outcome("killed")
