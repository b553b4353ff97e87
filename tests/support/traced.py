"""The sweep at the level of system calls: strace kills an install at its k-th write, fsync, rename, …, or refuses that.

Started as a program under strace, by `run`. strace counts the calls of each process and thread for itself and strikes
at call number `STRIKE`; so an attempt first makes as many empty calls as are needed for its own k-th call to be that
one. Only that one process comes near the number: every other step has a forked child of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import mmap
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from support.crash import Report, judge, reports
from support.layers import keep_mounts_private
from support.states import STATES, Builder, attempt

if TYPE_CHECKING:
    from support.states import State

T = TypeVar("T")

STRIKE = 300
_LIBC = ctypes.CDLL(None, use_errno=True)
CALLS: dict[str, Callable[[], object]] = {
    "write": lambda: _LIBC.write(-1, b"", 0),
    "fsync": lambda: _LIBC.fsync(-1),
    "mkdir": lambda: _LIBC.mkdir(b"", 0),
    "rename": lambda: _LIBC.rename(b"", b""),
    "unlink": lambda: _LIBC.unlink(b""),
    "rmdir": lambda: _LIBC.rmdir(b""),
    "unlinkat": lambda: _LIBC.unlinkat(-1, b"", 0),
}
"""Calls that change the disk, each with a way to make it in vain."""


def skip_without_strace() -> None:
    """Skip the test, saying why, where strace cannot be used."""
    import pytest

    reason = _why_not()
    if reason:
        pytest.skip(reason)


def _why_not() -> str | None:
    if platform.machine() != "x86_64":
        return "the names of the system calls are those of x86-64"
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(_strace("kill", [sys.executable, "-c", ""]), capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else None


def run(folder: Path, *, states: Iterable[str], fault: str, every: int = 1) -> list[Report]:
    """Run the sweep in a process of its own.

    Args:
        folder: Scratch space to be made.
        states: Keys of `support.states.STATES`.
        fault: "kill", or the name of the error each call fails with.
        every: 1 for each call, n for every n-th.

    Returns:
        A report per state.
    """
    program = [sys.executable, "-m", "support.traced", str(folder), fault, "--every", str(every)]
    return reports(_strace(fault, [*program, "--states", *states]))


def _strace(fault: str, command: list[str]) -> list[str]:
    calls = ",".join(CALLS)
    # strace 6.1 sends no signal when it has the kernel filter the calls, which is faster.
    what = ["-e", f"inject={calls}:signal=KILL:when={STRIKE}"]
    if fault != "kill":
        what = ["--seccomp-bpf", "-e", f"inject={calls}:error={fault}:when={STRIKE}"]
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *what, *command]


def main() -> None:
    """Run the sweep and print the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("fault")
    parser.add_argument("--states", nargs="+", choices=STATES, required=True)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    keep_mounts_private()
    threading.Thread.start = _refuse_threads  # type: ignore[assignment,method-assign]  # strace counts each thread's apart
    builder = Builder(options.folder)
    for name in options.states:
        report = Report(name, options.fault)
        sweep = _Sweep(builder.state(name), options.folder / "try", options.every, report)
        for call in CALLS:
            sweep.run(call)
        print(json.dumps(asdict(report)), flush=True)  # noqa: T201 - a program's result


def _refuse_threads(_: threading.Thread) -> None:
    """Refuse as a system does that allows no more of them: then one thread makes every call of an install."""
    raise RuntimeError("can't start new thread")


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Sweeps one state."""

    state: State
    root: Path
    every: int
    report: Report

    def run(self, call: str) -> None:
        """Hit the first, second, … call of one kind, until an install makes no more."""
        number = 1
        while self._try(_Injection(call, self.report.sweep, number)):
            number += self.every

    def _try(self, injection: _Injection) -> bool:
        """Hit one call and judge; return whether there was such a call."""
        outcome = attempt(lambda: json.dumps(asdict(self._judged(injection))))
        if outcome.kind != "installed":
            raise RuntimeError(outcome)
        one = Report(**json.loads(outcome.facts["result"]))
        for kind, lines in one.failures.items():
            getattr(self.report, kind).extend(lines)
        self.report.points += one.points
        return bool(one.points)

    def _judged(self, injection: _Injection) -> Report:
        report = Report(self.state.name, self.report.sweep)
        sandbox = self.state.set_up(self.root)
        outcome = attempt(lambda: injection.around(lambda: sandbox.ensure(self.state.pin)))
        report.points = int(injection.struck)
        if injection.struck or outcome.kind != "installed":
            judge(self.state, sandbox, outcome, str(injection), report)
        self.state.tear_down(sandbox)
        return report


class _Injection:
    """A fault at one call of a process to be forked."""

    def __init__(self, call: str, fault: str, number: int) -> None:
        self._call = call
        self._fault = fault
        self._number = number
        self._unused = mmap.mmap(-1, 1)  # shared with the forked child
        self._unused[0] = 0

    def __str__(self) -> str:
        return f"{self._call} {self._number}"

    @property
    def struck(self) -> bool:
        """Whether the process made that call."""
        return not self._unused[0]

    def around(self, work: Callable[[], T]) -> T:
        """Run something of which one call is struck."""
        for _ in range(STRIKE - self._number):
            CALLS[self._call]()
        try:
            return work()
        finally:
            self._unused[0] = self._is_unused()

    def _is_unused(self) -> bool:
        """Return whether the strike is still to come, by calls in vain; who gets here was not killed."""
        if self._fault == "kill":
            return True
        vain = (CALLS[self._call]() and ctypes.get_errno() for _ in range(self._number))
        return getattr(errno, self._fault) in vain


if __name__ == "__main__":
    main()
