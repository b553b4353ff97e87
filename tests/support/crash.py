"""Faults and Ctrl-C at each operation of an install that changes the disk, seen by an audit hook.

The hook sees every operation on names (open for writing, mkdir, rename, remove, …); writes and fsync, which raise no
audit event, are wrapped.
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from support.states import attempt

if TYPE_CHECKING:
    from support.states import Outcome, Sandbox, State

CHANGES = frozenset(
    f"os.{change}"
    for change in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate", "utime")
)
"""Audit events of operations that change the disk, beside "open"."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALL = ("fcntl.", "open", "os.", "shutil.", "socket.", "zipfile.")
"""Beginnings of the audit events of files, folders, locks and connections, whether they change anything or not."""
NEED_SPACE = frozenset({"open", "os.mkdir", "os.link", "os.symlink", "write", "fsync"})
"""What a full disk refuses; what only removes or moves names goes on working."""
FAULTS = ("ENOSPC", "EIO", "EACCES", "EROFS")
LASTING = ("ENOSPC-lasting", "EROFS-lasting")
"""Every further operation fails too: a disk that stays full, a file system that has become read-only."""
INTERRUPTS = ("interrupt-after", "interrupt-before")
"""Ctrl-C right after an operation that changes the disk, or before any operation on files, folders and locks."""
SWEEPS = (*FAULTS, *LASTING, *INTERRUPTS)


class Point(NamedTuple):
    """A place in an install at which it is broken."""

    name: str
    kind: str
    """The operation."""
    strike: Callable[[Sandbox], Outcome]
    """Installs in a sandbox and breaks that here; returns how the install ended."""


class Watch:
    """Sees the operations of this process that change the disk, and acts on them.

    Put in place in a forked child only: an audit hook cannot be removed.
    """

    def __init__(self, act: Callable[[int, str, tuple[Any, ...]], None], *, sees_all: bool = False) -> None:
        """Call `act` with number, kind and arguments before each operation, or before each event of `ALL`."""
        self._act = act
        self._sees_all = sees_all
        self._numbers = itertools.count(1)
        self._armed = False
        self.seen: list[str] = []

    def install(self, state: State, sandbox: Sandbox) -> Path:
        """Install under this watch."""
        io.open = self._open
        builtins.open = self._open
        os.fsync = self._fsync  # type: ignore[assignment]  # it is given numbers only
        shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]  # noqa: SLF001 - a copy by the kernel is not seen
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
        sys.addaudithook(self._hook)
        self._armed = True
        try:
            return sandbox.ensure(state.pin)
        finally:
            self._armed = False

    def touch(self, kind: str, *arguments: object) -> None:
        """Note an operation that is about to happen."""
        if self._armed:
            self.seen.append(kind)
            self._act(next(self._numbers), kind, arguments)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in CHANGES or (event == "open" and arguments[2] & WRITING)
        if is_change or (self._sees_all and event.startswith(ALL)):
            self.touch(event, *arguments)

    def _fsync(self, descriptor: int) -> None:
        """Note an fsync, and save its time: what was written outlives a process without it."""
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
            self.watch.touch("write", self.name, bytes(data), self.tell())
        except OSError:
            super().write(memoryview(data)[: len(data) // 2])
            raise
        return super().write(data)


def _inject(sweep: str, at: int, number: int, kind: str, arguments: tuple[Any, ...]) -> None:
    """Press Ctrl-C at operation `at`, or have it fail; in a lasting sweep later ones fail, too."""
    if number < at or (number > at and sweep not in LASTING):
        return
    fault = sweep.removesuffix("-lasting")
    if sweep in INTERRUPTS:
        _press_ctrl_c(after=sweep == "interrupt-after")
    elif fault != "ENOSPC" or kind in NEED_SPACE or number == at:
        code = getattr(errno, fault)
        raise OSError(code, os.strerror(code), str(arguments[0]))


def _press_ctrl_c(*, after: bool) -> None:
    """Interrupt the main thread: just after the operation that it is about to make, or wherever it is."""
    main_thread = threading.main_thread()
    if after and threading.current_thread() is main_thread:
        sys.setprofile(_interrupt)
    else:
        signal.pthread_kill(main_thread.ident or 0, signal.SIGINT)


def _interrupt(frame: FrameType, _: str, __: object) -> None:
    """Raise KeyboardInterrupt as a signal would: between two steps of the program, just after an operation."""
    if frame.f_code.co_filename != __file__:
        sys.setprofile(None)
        raise KeyboardInterrupt


def points(state: State, root: Path, sweep: str) -> Iterator[Point]:
    """Yield every point at which an install is refused or interrupted; `root` is a folder to try it in."""
    sees_all = sweep == "interrupt-before"

    def operations() -> str:
        watch = Watch(lambda *_: None, sees_all=sees_all)
        watch.install(state, sandbox)
        return " ".join(watch.seen)

    def strike(number: int, sandbox: Sandbox) -> Outcome:
        return attempt(lambda: Watch(partial(_inject, sweep, number), sees_all=sees_all).install(state, sandbox))

    with state.sandbox(root) as sandbox:
        kinds = attempt(operations).result.split()
    for number, kind in enumerate(kinds, start=1):
        yield Point(f"{number} {kind}", kind, partial(strike, number))
