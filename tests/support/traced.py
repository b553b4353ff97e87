"""The sweep at the level of system calls: strace kills an install at its k-th write, fsync, rename, …, or refuses that.

Started as a program under strace, by `run`. strace counts the calls of each process and thread for itself and strikes
at call number `STRIKE`; so a try makes as many empty calls first as are needed for its k-th own call to be that one.
Only that one process comes near the number: every other step has a forked child of its own.
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
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from support import scenes
from support.crash import Report, judge, reports
from support.scenes import forked

if TYPE_CHECKING:
    from support.scenes import Scene

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


def obstacle() -> str | None:
    """Say why strace cannot be used here; None when it can."""
    if platform.machine() != "x86_64":
        return "the names of the system calls are those of x86-64"
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(_strace("kill", [sys.executable, "-c", ""]), capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else None


def run(folder: Path, *, scene_names: Iterable[str], blow: str, every: int = 1) -> list[Report]:
    """Run the sweep in a process of its own.

    Args:
        folder: Scratch space to be made.
        scene_names: Keys of `support.scenes.SCENES`.
        blow: "kill", or the name of the error each call fails with.
        every: 1 for each call, n for every n-th.

    Returns:
        A report a scene.
    """
    program = [sys.executable, "-m", "support.traced", str(folder), blow, "--every", str(every)]
    return reports(_strace(blow, [*program, "--scenes", *scene_names]))


def _strace(blow: str, command: list[str]) -> list[str]:
    calls = ",".join(CALLS)
    # strace 6.1 sends no signal when it has the kernel filter the calls, which is faster.
    what = ["-e", f"inject={calls}:signal=KILL:when={STRIKE}"]
    if blow != "kill":
        what = ["--seccomp-bpf", "-e", f"inject={calls}:error={blow}:when={STRIKE}"]
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *what, *command]


def main() -> None:
    """Run the sweep and print the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("blow")
    parser.add_argument("--scenes", nargs="+", choices=scenes.SCENES, required=True)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    theatre = scenes.Theatre(options.folder)
    for name in options.scenes:
        report = Report(name, options.blow)
        sweep = _Sweep(theatre.scene(name), options.folder / "try", options.every, report)
        for call in CALLS:
            sweep.run(call)
        print(json.dumps(asdict(report)), flush=True)  # noqa: T201 - a program's result


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Sweeps one scene."""

    scene: Scene
    root: Path
    every: int
    report: Report

    def run(self, call: str) -> None:
        """Hit the first, second, … call of one kind, until an install makes no more."""
        number = 1
        while self._try(_Charge(call, self.report.sweep, number)):
            number += self.every

    def _try(self, charge: _Charge) -> bool:
        """Hit one call and judge; tell whether there was such a call."""
        told = forked(lambda: json.dumps(asdict(self._judged(charge))))
        if told.kind != "installed":
            raise RuntimeError(told)
        one = Report(**json.loads(told.facts["result"]))
        for kind, lines in one.failures.items():
            getattr(self.report, kind).extend(lines)
        self.report.points += one.points
        return bool(one.points)

    def _judged(self, charge: _Charge) -> Report:
        report = Report(self.scene.name, self.report.sweep)
        site = self.scene.set_up(self.root)
        ending = forked(lambda: charge.carried_by(lambda: site.ensure(self.scene.pin)))
        report.points = int(charge.went_off)
        if charge.went_off or ending.kind != "installed":
            judge(self.scene, site, ending, str(charge), report)
        shutil.rmtree(self.root)
        return report


class _Charge:
    """Strikes one call of a process to be forked."""

    def __init__(self, call: str, blow: str, number: int) -> None:
        self._call = call
        self._blow = blow
        self._number = number
        self._unused = mmap.mmap(-1, 1)  # shared with the forked child
        self._unused[0] = 0

    def __str__(self) -> str:
        return f"{self._call} {self._number}"

    @property
    def went_off(self) -> bool:
        """Whether the process made that call."""
        return not self._unused[0]

    def carried_by(self, work: Callable[[], T]) -> T:
        """Run something with the charge laid."""
        for _ in range(STRIKE - self._number):
            CALLS[self._call]()
        try:
            return work()
        finally:
            self._unused[0] = self._is_unused()

    def _is_unused(self) -> bool:
        """Look for the charge by calls in vain; a deadly one was not met by whoever gets here."""
        if self._blow == "kill":
            return True
        vain = (CALLS[self._call]() and ctypes.get_errno() for _ in range(self._number))
        return getattr(errno, self._blow) in vain


if __name__ == "__main__":
    main()
