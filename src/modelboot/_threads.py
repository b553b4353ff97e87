"""Work in a second thread: hash what is received, inflate what is written next, write several files at once.

hashlib, zlib and calls of the system run beside one another in two threads of Python. Where the system allows no more
threads, the caller's own does the work alone.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from types import FrameType
from typing import Literal

AHEAD = 4
"""Most chunks that wait between two threads: more would cost memory and save no time."""
Stop = Callable[[], bool]
"""Tells whether to end early."""
Job = Callable[[Stop], object]
"""Something to do, which asks now and then whether to end early."""
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
JOIN_S = 1.0
"""Longest wait for a thread that has nothing left to do."""


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
        self._thread = threading.Thread(target=self._run, name=f"modelboot-{name}", daemon=True)

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


@contextmanager
def read_ahead(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Read chunks in a second thread, a few ahead of the caller.

    Args:
        chunks: No other code may read them until the block ends.

    Yields:
        The same chunks. What reading them raises is raised where they are taken.
    """
    ready: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    room, unwanted = slots(AHEAD), SimpleQueue[None]()

    def read() -> None:
        try:
            for chunk in chunks:
                room.get()
                if not unwanted.empty():
                    return
                ready.put(chunk)
        except BaseException as error:  # noqa: BLE001 - raised where the chunks are taken
            ready.put(error)
        else:
            ready.put(None)

    reader = Worker(read, "reader")
    try:
        yield _taken(ready, room) if reader.start() else chunks
    finally:
        unwanted.put(None)
        room.put(None)
        reader.join()


def _taken(ready: SimpleQueue[bytes | BaseException | None], room: SimpleQueue[None]) -> Iterator[bytes]:
    while isinstance(item := ready.get(), bytes):
        room.put(None)
        yield item
    if item is not None:
        raise item


def slots(count: int) -> SimpleQueue[None]:
    """Return a queue to take a slot from and to put it back into, for at most so many things at a time.

    No semaphore and no bounded queue: Ctrl-C inside their Python code can leave a lock held, for which every thread
    then waits. A SimpleQueue is written in C.
    """
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(count):
        free.put(None)
    return free


class BackgroundHash:
    """A SHA-256 that a second thread computes, while the caller receives and writes the next chunks."""

    def __init__(self) -> None:
        """Start with no bytes, and with no thread until there are some."""
        self._digest = hashlib.sha256()
        self._chunks: SimpleQueue[bytes | SimpleQueue[None] | None] = SimpleQueue()
        self._room = slots(AHEAD)
        self._is_dropped = False
        self._thread = Worker(self._run, "hash")
        self._has_thread: bool | None = None

    def update(self, chunk: bytes) -> None:
        """Add a chunk."""
        if self._has_thread is None:
            self._has_thread = self._thread.start()
        if self._has_thread:
            self._room.get()
            self._chunks.put(chunk)
        else:
            self._digest.update(chunk)

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        if self._has_thread:
            done: SimpleQueue[None] = SimpleQueue()
            self._chunks.put(done)
            done.get()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread; what was added and is not hashed yet is dropped."""
        self._is_dropped = True
        self._chunks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if isinstance(chunk, bytes):
                self._room.put(None)
                if not self._is_dropped:
                    self._digest.update(chunk)
            else:
                chunk.put(None)


def is_importing(frame: FrameType | None) -> bool:
    """Return True if a thread is in the middle of an import, so that others may wait for that."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
