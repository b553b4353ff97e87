"""A model of a journaling file system, and of what it may hold after the power failed in the middle of an install.

Names (create, mkdir, rename, remove) last in the order in which they were made: some first part of them is there.
The bytes of a file are there only if it was flushed with fsync before that; else it is empty, or of its size and
full of zeros. That is what ext4 and XFS promise; what was on the disk before the install is taken to be safe.

Started as a program, once per state, because it forks: it prints one `support.crash.Report` as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.crash import Report, Watch, judge, no_fsync, reports, watched
from support.layers import keep_mounts_private
from support.states import STATES, Builder, Outcome, Sandbox, attempt

if TYPE_CHECKING:
    from support.states import Sandbox, State

LOSSES: dict[str, Callable[[bytes], bytes]] = {"empty": lambda _: b"", "zeros": lambda data: bytes(len(data))}
"""What may be in a file that was not flushed."""


@dataclass(slots=True)
class File:
    """A file: its bytes as programs see them, and those that are safe."""

    data: bytes = b""
    safe: bytes | None = None

    def after(self, loss: str) -> bytes:
        """Return its bytes after the power failed."""
        return self.safe if self.safe is not None else LOSSES[loss](self.data)


@dataclass(slots=True)
class Folder:
    """A folder: its entries by name."""

    entries: dict[str, File | Folder] = field(default_factory=dict)


NEW: dict[str, Callable[[], File | Folder]] = {"open": File, "os.mkdir": Folder}
"""What a step makes where there is nothing yet."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an install, by paths relative to the sandbox."""

    kind: str
    path: str
    other: str = ""
    """Where a rename leads."""
    data: bytes = b""
    """What a file holds after a write."""


class Disk:
    """The tree of a sandbox, changed by steps."""

    def __init__(self, root: Path, *, layered: bool = False) -> None:
        """Read the state that is safe already; layered, its folders lie in a lower layer and cannot be renamed."""
        self.top = _read(root)
        self._fixed = [*_folders(self.top)] if layered else []

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
        file.data, file.safe = step.data, None
    elif step.kind == "fsync":
        file.safe = file.data


def _makes_room(there: File | Folder | None, step: Step) -> bool:
    """Return whether a step removes what is there."""
    if isinstance(there, Folder):
        return step.kind == "os.rmdir" and not there.entries
    return there is not None and step.kind == "os.remove"


def _folders(folder: Folder) -> Iterator[Folder]:
    """Yield a folder and every folder below it."""
    yield folder
    for entry in folder.entries.values():
        if isinstance(entry, Folder):
            yield from _folders(entry)


def _read(path: Path) -> Folder:
    entries: dict[str, File | Folder] = {}
    for entry in path.iterdir():
        data = b"" if entry.is_dir() else entry.read_bytes()
        entries[entry.name] = _read(entry) if entry.is_dir() else File(data, data)
    return Folder(entries)


def materialise(folder: Folder, path: Path, loss: str) -> None:
    """Make a tree real, as it is found after the power failed, in a folder that has what was there before."""
    path.mkdir(exist_ok=True)
    for gone in [there for there in path.iterdir() if there.name not in folder.entries]:
        if gone.is_dir():
            shutil.rmtree(gone)
        else:
            gone.unlink()
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
        self._steps: list[Step] = []
        self._open: list[int] = []
        """Numbers of the writes whose bytes are not known yet: threads write different files at the same time."""

    def __call__(self, _: int, kind: str, arguments: tuple[Any, ...]) -> None:
        """Note an operation that is about to happen."""
        steps = [step for step in self._told(kind, arguments) if not step.path.startswith(os.pardir)]
        for step in steps:
            self._complete(None if kind == "os.rename" else step.path)
        self._open += [len(self._steps) + more for more, step in enumerate(steps) if step.kind == "write"]
        self._steps += steps

    @property
    def steps(self) -> list[Step]:
        """All steps so far."""
        self._complete()
        return self._steps

    def _complete(self, path: str | None = None) -> None:
        """Fill in what a file has by now, or every file: its own thread has ended the writes before."""
        for number in [number for number in self._open if path in {None, self._steps[number].path}]:
            self._open.remove(number)
            written = self._steps[number].path
            self._steps[number] = Step("write", written, data=(self._root / written).read_bytes())

    def _told(self, kind: str, arguments: tuple[Any, ...]) -> Iterator[Step]:
        if kind == "fsync":
            yield Step(kind, self._relative(Path(f"/proc/self/fd/{arguments[0]}").readlink()))
        elif kind == "os.rename":
            source, destination, source_folder, destination_folder = arguments
            yield Step(kind, self._relative(source, source_folder), self._relative(destination, destination_folder))
        elif kind == "open":
            yield Step(kind, self._relative(arguments[0]))
            if arguments[2] & os.O_TRUNC:
                yield Step("truncate", self._relative(arguments[0]))
        else:
            folder = arguments[-1] if kind in {"os.mkdir", "os.remove", "os.rmdir"} else -1
            yield Step(kind, self._relative(arguments[0], folder))

    def _relative(self, path: Any, folder: int = -1) -> str:  # noqa: ANN401 - str, bytes or Path
        start = Path.cwd() if folder == -1 else Path(f"/proc/self/fd/{folder}").readlink()
        return os.path.relpath(start / os.fsdecode(path), self._root)


def run(folder: Path, *, states: Iterable[str], every: int = 1, flush: bool = True) -> list[Report]:
    """Run the model in a process of its own.

    Args:
        folder: Scratch space to be made.
        states: Keys of `support.states.STATES`.
        every: 1 for each state the disk may be left in, n for every n-th and those after a rename.
        flush: Whether the install's calls of fsync do anything.

    Returns:
        A report per state. Its points are the states looked at.
    """
    program = [sys.executable, "-m", "support.powerloss", str(folder), *([] if flush else ["--without-fsync"])]
    return reports([*program, "--every", str(every), "--states", *states])


def main() -> None:
    """Run the model and print the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--states", nargs="+", choices=STATES, required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--without-fsync", action="store_true")
    options = parser.parse_args()
    keep_mounts_private()
    os.fsync = no_fsync  # type: ignore[assignment]  # the model keeps account of them
    builder = Builder(options.folder)
    for name in options.states:
        state = builder.state(name)
        steps = _record(state, options.folder / "try", flush=not options.without_fsync)
        report = Report(name, "power loss", operations=len(steps))
        for point, disk in _states(state, steps, options.every):
            for loss in LOSSES:
                report.points += 1
                sandbox = state.set_up(options.folder / "try")
                materialise(disk.top, sandbox.root, loss)
                judge(state, sandbox, Outcome("killed"), f"{point}, {loss}", report)
                state.tear_down(sandbox)
        print(json.dumps(asdict(report)), flush=True)  # noqa: T201 - a program's result


def _record(state: State, root: Path, *, flush: bool) -> list[Step]:
    """Install once, undisturbed, and record the steps."""
    sandbox = state.set_up(root)
    notes = root.with_suffix(".steps")
    recorder = Recorder(sandbox)

    def install() -> None:
        watched(sandbox, state, Watch(recorder))
        notes.write_text(json.dumps([[step.kind, step.path, step.other, step.data.hex()] for step in recorder.steps]))

    outcome = attempt(install)
    state.tear_down(sandbox)
    if outcome.kind != "installed":
        raise RuntimeError(outcome)
    steps = [Step(kind, path, other, bytes.fromhex(data)) for kind, path, other, data in json.loads(notes.read_text())]
    return [step for step in steps if flush or step.kind != "fsync"]


def _states(state: State, steps: list[Step], every: int) -> Iterator[tuple[str, Disk]]:
    """Yield what is on the disk when the power fails right after each change of names."""
    disk = Disk(state.template.root, layered=state.layered)
    for number, step in enumerate(steps):
        disk.apply(step)
        if step.kind not in {"write", "fsync"} and (number % every == 0 or step.kind == "os.rename"):
            yield f"{number} {step.kind} {step.path}", disk


if __name__ == "__main__":
    main()
