"""The crash sweep: an install is killed, refused or interrupted at each operation that changes the disk.

Started as a program, because it forks: `python -m support.crash FOLDER --states … --sweeps …` prints one JSON object
per state and sweep, a line each. An audit hook sees every operation on names (open for writing, mkdir,
rename, remove, …); writes and fsync, which raise no audit event, are wrapped.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from support.children import environment
from support.layers import keep_mounts_private
from support.states import STATES, Builder, attempt

if TYPE_CHECKING:
    from support.states import Outcome, Sandbox, State

CHANGES = frozenset(
    f"os.{change}"
    for change in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate", "utime")
)
"""Audit events of operations that change the disk, beside "open"."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NEED_SPACE = frozenset({"open", "os.mkdir", "os.link", "os.symlink", "write", "fsync"})
"""What a full disk refuses; what only removes or moves names goes on working."""
FAULTS = ("ENOSPC", "EIO", "EACCES", "EROFS")
LASTING = tuple(f"{fault}-lasting" for fault in FAULTS)
"""Every further operation fails too: a disk that stays full, a file system that has become read-only."""
FAILURES = ("torn", "wedged", "left", "lost", "changed", "unclear")
"""The fields of a report that must stay empty."""
OUTCOMES = {"kill": "killed", "power loss": "killed", "interrupt": "interrupted"}
"""How an install may end in a sweep, other than installed or refused."""
SWEEPS = ("kill", *FAULTS, *LASTING, "interrupt")


@dataclass(slots=True)
class Report:
    """What one sweep of one state found; each list holds a line per failure."""

    state: str
    sweep: str
    points: int = 0
    """Attempts in which the install was hit."""
    operations: int = 0
    """Operations on the disk of an install that nobody hits."""
    torn: list[str] = field(default_factory=list)
    """A reader saw a model as installed that was not complete."""
    wedged: list[str] = field(default_factory=list)
    """The next plain call failed, or did not give the pinned model, complete and alone."""
    left: list[str] = field(default_factory=list)
    """Files that belong to nobody after that call."""
    lost: list[str] = field(default_factory=list)
    """Files of others that were altered."""
    changed: list[str] = field(default_factory=list)
    """The install said that it failed, and the target is not as it was before; or that it succeeded, and is not so."""
    unclear: list[str] = field(default_factory=list)
    """The install failed in another way than by an error with message and hint."""

    @property
    def failures(self) -> dict[str, list[str]]:
        """Everything that went wrong, by kind."""
        return {kind: lines for kind in FAILURES if (lines := getattr(self, kind))}


def run(folder: Path, *, states: Iterable[str], sweeps: Iterable[str], every: int = 1) -> list[Report]:
    """Run sweeps in a process of their own.

    Args:
        folder: Scratch space to be made.
        states: Keys of `support.states.STATES`.
        sweeps: Members of `SWEEPS`.
        every: 1 for each operation, n for every n-th and all renames.

    Returns:
        A report per state and sweep.
    """
    program = [sys.executable, "-m", "support.crash", str(folder)]
    return reports([*program, "--states", *states, "--sweeps", *sweeps, "--every", str(every)])


def totals(found: Iterable[Report]) -> dict[str, int]:
    """Add up the figures of reports."""
    found = list(found)
    failed = {kind: sum(len(getattr(report, kind)) for report in found) for kind in FAILURES}
    return {"points": sum(report.points for report in found), **failed}


def failures(found: Iterable[Report]) -> dict[str, dict[str, list[str]]]:
    """Collect what went wrong, by state and sweep."""
    return {f"{report.state}, {report.sweep}": report.failures for report in found if report.failures}


def reports(command: list[str]) -> list[Report]:
    """Run a program of this package that prints reports."""
    env = environment({"PYTHONDONTWRITEBYTECODE": "1"})
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return [Report(**json.loads(line)) for line in ended.stdout.splitlines()]


class Watch:
    """Sees the operations of this process that change the disk, and acts on them.

    Put in place in a forked child only: an audit hook cannot be removed.
    """

    def __init__(self, act: Callable[[int, str, tuple[Any, ...]], None]) -> None:
        """Call `act` with number, kind and arguments (of the audit event) before each operation."""
        self._act = act
        self._armed = False
        self._turn = threading.Lock()
        self.seen: list[str] = []

    def arm(self) -> None:
        """Start to see."""
        io.open = self._open
        builtins.open = self._open
        os.fsync = self._fsync  # type: ignore[assignment]  # it is given numbers only
        shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]  # noqa: SLF001 - a copy by the kernel is not seen
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
        sys.addaudithook(self._hook)
        self._armed = True

    def disarm(self) -> None:
        """Stop to see."""
        self._armed = False

    def touch(self, kind: str, *arguments: object) -> None:
        """Note an operation that is about to happen; each thread in its turn."""
        if self._armed:
            with self._turn:
                self.seen.append(kind)
                self._act(len(self.seen), kind, arguments)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & WRITING):
            self.touch(event, *arguments)

    def _fsync(self, descriptor: int) -> None:
        """Note an fsync, which `no_fsync` has switched off."""
        self.touch("fsync", descriptor)

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as io.open
        """Open as Python does, but write through a raw file that is watched."""
        if not set(mode) & set("wax+") or isinstance(file, int):
            return _open(file, mode, buffering, *args, **options)
        raw = _WatchedFile(file, mode.replace("b", "").replace("t", ""))
        raw.watch = self
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **options)


_open = io.open


class _WatchedFile(io.FileIO):
    """A raw file that tells of each write before it happens; half of a write that is refused reaches the disk."""

    watch: Watch

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        try:
            self.watch.touch("write", self.name)
        except OSError:
            super().write(memoryview(data)[: len(data) // 2])
            raise
        return super().write(data)


@dataclass(slots=True)
class Injection:
    """What happens at the k-th operation: a signal, or the error it fails with."""

    sweep: str
    at: int

    def __call__(self, number: int, kind: str, arguments: tuple[Any, ...]) -> None:
        """Inject the fault, if it is time."""
        if number < self.at or (number > self.at and not self.sweep.endswith("-lasting")):
            return
        if self.sweep == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.sweep == "interrupt":
            _press_ctrl_c()
            return
        fault = self.sweep.removesuffix("-lasting")
        if fault != "ENOSPC" or kind in NEED_SPACE or number == self.at:
            code = getattr(errno, fault)
            raise OSError(code, os.strerror(code), str(arguments[0]))


def _press_ctrl_c() -> None:
    """Interrupt the main thread: just after the operation if it is about to make one, else wherever it is."""
    main_thread = threading.main_thread()
    if threading.current_thread() is main_thread:
        sys.setprofile(_interrupt)
    else:
        signal.pthread_kill(main_thread.ident or 0, signal.SIGINT)


def _interrupt(frame: FrameType, _: str, __: object) -> None:
    """Raise KeyboardInterrupt as a signal would: between two steps of the program, just after an operation."""
    if frame.f_code.co_filename != __file__:
        sys.setprofile(None)
        raise KeyboardInterrupt


def main() -> None:
    """Run sweeps and print their reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--states", nargs="+", choices=STATES, required=True)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, required=True)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    keep_mounts_private()
    os.fsync = no_fsync  # type: ignore[assignment]  # no matter what it is given
    builder = Builder(options.folder)
    for offset, name in enumerate(options.states):
        sweeps = _Sweeps(builder.state(name), options.folder / "try", options.every, offset)
        for sweep in options.sweeps:
            print(json.dumps(asdict(sweeps.sweep(sweep))), flush=True)  # noqa: T201 - a program's result


def no_fsync(_: object) -> None:
    """Save the time: what was written outlives a process without it. Power loss has a model of its own."""


class _Sweeps:
    """Runs the sweeps of one state."""

    def __init__(self, state: State, root: Path, every: int, offset: int) -> None:
        self._state = state
        self._root = root
        self._every = every
        self._offset = offset

    def sweep(self, sweep: str) -> Report:
        """Hit the install at each chosen operation and judge what that leaves."""
        operations = self._operations()
        report = Report(self._state.name, sweep, operations=len(operations))
        for number in self._chosen(operations):
            report.points += 1
            self._inject(Injection(sweep, number), f"{number} {operations[number - 1]}", report)
        self._inject(Injection(sweep, len(operations) + 1), "none", report)
        return report

    def _chosen(self, operations: list[str]) -> Iterator[int]:
        for number, kind in enumerate(operations, start=1):
            if number % self._every == self._offset % self._every or kind == "os.rename":
                yield number

    def _operations(self) -> list[str]:
        """List the operations of an install that is left alone."""
        with self._sandbox() as sandbox:
            watch = Watch(lambda *_: None)
            outcome = attempt(lambda: f"{watched(sandbox, self._state, watch)}\n{' '.join(watch.seen)}")
        return outcome.facts["result"].splitlines()[1].split()

    def _inject(self, injection: Injection, point: str, report: Report) -> None:
        with self._sandbox() as sandbox:
            outcome = attempt(lambda: watched(sandbox, self._state, Watch(injection)))
            if injection.sweep == "kill" and (outcome.kind == "killed") != (point != "none"):
                report.unclear.append(f"{point}: {outcome}")  # an install that does other things each time
            judge(self._state, sandbox, outcome, point, report)

    @contextmanager
    def _sandbox(self) -> Iterator[Sandbox]:
        sandbox = self._state.set_up(self._root)
        try:
            yield sandbox
        finally:
            self._state.tear_down(sandbox)


def watched(sandbox: Sandbox, state: State, watch: Watch) -> Path:
    """Install under a watch; to be called in a forked child."""
    watch.arm()
    try:
        return sandbox.ensure(state.pin)
    finally:
        watch.disarm()


def judge(state: State, sandbox: Sandbox, outcome: Outcome, point: str, report: Report) -> None:
    """Look at what was left, let the next plain call heal it, and look again."""
    report.torn += [f"{point}: {torn}" for torn in state.torn(sandbox)]
    report.changed += [f"{point}: {changed}" for changed in _broken_promises(state, sandbox, outcome, report.sweep)]
    report.unclear += [] if _is_clear(outcome, report.sweep) else [f"{point}: {outcome}"]
    healed = attempt(lambda: sandbox.ensure(state.pin))
    trouble = state.lacking(sandbox) if healed.kind == "installed" else healed
    report.wedged += [f"{point}: {trouble}"] if trouble else []
    report.left += [f"{point}: {left}" for left in state.left(sandbox)]
    report.lost += [f"{point}: {lost}" for lost in state.lost(sandbox)]


def _broken_promises(state: State, sandbox: Sandbox, outcome: Outcome, sweep: str) -> list[str]:
    """Hold the state against what the install said of itself; one that was killed said nothing."""
    lacking = state.lacking(sandbox)
    if outcome.kind == "installed":
        return [lacking] if lacking else []
    if outcome.kind == "interrupted" and lacking is None:
        return []
    takes_back = not sweep.endswith("-lasting") or sweep.startswith("ENOSPC")
    if outcome.kind == "killed" or not takes_back:
        return []
    return state.changed(sandbox) + (state.added(sandbox) if outcome.kind == "refused" else [])


def _is_clear(outcome: Outcome, sweep: str) -> bool:
    if outcome.kind == "refused":
        return all(text and "\n" not in text for text in (outcome.facts["message"], outcome.facts["hint"]))
    return outcome.kind in {"installed", OUTCOMES.get(sweep)}


if __name__ == "__main__":
    main()
