"""Work in a second thread, such as writing the members of an archive two at a time.

hashlib, zlib and calls of the system run beside one another in two threads of Python. Where the system allows no more
threads, the caller's own does the work alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import Literal, TypeVar

Stop = Callable[[], bool]
"""Tells whether to end early."""
Job = Callable[[Stop], object]
"""Something to do, which asks now and then whether to end early."""
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
JOIN_S = 1.0
"""Longest wait for a thread that has nothing left to do."""


T = TypeVar("T", bound=threading.Thread)


def background(thread: T, name: str) -> T:
    """Name a thread, and let it not keep the process from ending: an isolated subinterpreter has no such threads."""
    thread.name = f"modelboot-{name}"
    with suppress(RuntimeError):
        thread.daemon = True
    return thread


class Worker:
    """A thread that ends before the caller goes on, even if Ctrl-C comes while it is started or waited for.

    `Thread.join` alone does not do: in Python before 3.13, once interrupted, it takes the thread for ended. Nor does an
    event, or a lock in a `with` statement: Ctrl-C can leave the lock held, in Python 3.14 most of the time (its issue
    148874), and the next wait for it never ends.
    """

    def __init__(self, call: Callable[[], object], name: str) -> None:
        """Start nothing yet.

        Args:
            call: What to do; it raises nothing.
            name: Name of the thread, behind "modelboot-".
        """
        self._call = call
        self._claims: list[Literal["run", "join"]] = []  # the first one decides whether the call is made
        self._is_over = False
        self._end: SimpleQueue[None] = SimpleQueue()
        self._thread = background(threading.Thread(target=self._run), name)

    def start(self) -> bool:
        """Start the thread; False where the system allows no more of them."""
        try:
            self._thread.start()
        except RuntimeError:  # also where it was started before
            return False
        return True

    def join(self) -> None:
        """Wait for the end of the call. One that has not begun never will."""
        self._claims.append("join")
        if self._claims[0] == "run" and not self._is_over:
            self._end.get()
        if self._thread.is_alive():  # for a moment
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        self._claims.append("run")
        if self._claims[0] != "run":
            return
        try:
            self._call()
        finally:
            self._is_over = True
            self._end.put(None)


def run_at_once(jobs: Sequence[Job]) -> None:
    """Do some jobs in two threads, of which the caller's is one. After a failure the others end early.

    Args:
        jobs: What to do, in the order in which they begin.

    Raises:
        BaseException: What the first job to fail raised.
    """
    pending, failures = deque(jobs), list[BaseException]()
    is_interrupted: list[bool] = []

    def stop() -> bool:
        return bool(failures or is_interrupted)

    def work() -> None:
        try:
            while pending and not stop():
                with suppress(IndexError):  # the other thread has just taken the last one
                    job = pending.popleft()
                    job(stop)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    other = Worker(work, "writer")
    try:
        other.start()
        work()
        other.join()
    except BaseException:  # Ctrl-C
        is_interrupted.append(True)
        other.join()
        raise
    if failures:  # Ctrl-C goes first: a job that it has ended early fails, too
        raise next((error for error in failures if not isinstance(error, Exception)), failures[0])


def is_importing(frame: FrameType | None) -> bool:
    """Return True if a thread is in the middle of an import, so that others may wait for that."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
