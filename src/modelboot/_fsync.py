"""fsync of files and folders, so that a power failure takes nothing, and a thread that does it in the background."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from modelboot._threads import Worker, slots

if TYPE_CHECKING:
    from typing_extensions import Self

FLUSH_BYTES = 1 << 25
"""A file that is being written is flushed whenever so much more of it has come."""
_MOST_OPEN = 8
"""Files that are written, or wait to be flushed, at one time."""


class Flusher:
    """New files, which a second thread flushes to disk and closes while the next ones are written."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._waiting: SimpleQueue[tuple[BinaryIO, bool] | None] = SimpleQueue()
        self._slots = slots(_MOST_OPEN)
        self._files: list[BinaryIO] = []
        self._failures: list[Exception] = []
        self._is_dropped = False
        self._thread = Worker(self._run, "flush")

    def __enter__(self) -> Self:
        try:
            self._has_thread = self._thread.start()
        except BaseException:  # Ctrl-C, which may find the thread running
            self._end()
            raise
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Wait until all files are on disk; after a failure they are only closed.

        Raises:
            OSError: One of them could not be flushed.
        """
        self._is_dropped = error is not None
        try:
            self._end()
        except BaseException:  # Ctrl-C
            self._is_dropped = True
            self._end()
            raise
        if self._failures and error is None:
            raise self._failures[0]

    @contextmanager
    def create(self, path: Path) -> Iterator[Callable[[bytes], None]]:
        """Create a file, and leave it to be flushed and closed when the block ends.

        Args:
            path: The file; it must not exist.

        Yields:
            The function to write with.

        Raises:
            OSError: It cannot be written, or a file before it could not be flushed.
        """
        if self._failures:
            raise self._failures[0]
        self._slots.get()
        try:
            file = path.open("xb")
            self._files.append(file)
        except BaseException:
            self._slots.put(None)
            raise
        unflushed_bytes = 0

        def write(chunk: bytes) -> None:
            nonlocal unflushed_bytes
            file.write(chunk)
            unflushed_bytes += len(chunk)
            if unflushed_bytes >= FLUSH_BYTES:
                unflushed_bytes = 0
                self._flush(file, is_complete=False)

        try:
            yield write
            file.flush()
        finally:
            self._flush(file, is_complete=True)

    def _flush(self, file: BinaryIO, *, is_complete: bool) -> None:
        if self._has_thread:
            self._waiting.put((file, is_complete))
        else:
            self._flush_now(file, is_complete=is_complete)

    def _end(self) -> None:
        """End the thread, and flush here what it did not: all files, if it never began."""
        self._waiting.put(None)
        self._thread.join()
        with suppress(Empty):
            while True:
                if (item := self._waiting.get_nowait()) is not None:
                    self._flush_now(item[0], is_complete=item[1])
        for file in self._files:  # Ctrl-C has come before it was handed over
            with suppress(OSError):
                file.close()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._flush_now(item[0], is_complete=item[1])

    def _flush_now(self, file: BinaryIO, *, is_complete: bool) -> None:
        try:
            with file if is_complete else nullcontext():
                if not self._is_dropped:
                    _fsync(file.fileno())
        except Exception as error:  # noqa: BLE001 - raised by the caller's thread; the system tells of it once
            self._failures.append(error)
        finally:
            if is_complete:
                self._slots.put(None)


def fsync_tree(root: Path) -> None:
    """Fsync every file and folder below a folder, and the folder itself."""
    for folder, _, files in os.walk(root):
        for file in files:
            _fsync_path(os.path.join(folder, file))
    fsync_folders(root)


def fsync_folders(root: Path) -> None:
    """Fsync a folder and every folder below it, whose files are on disk."""
    for folder, _, _ in os.walk(root, topdown=False):
        fsync_folder(folder)


def fsync_folder(folder: str | Path) -> None:
    """Fsync a folder: that makes a rename in it durable. Windows opens no folder; nothing is done there."""
    if _OPENS_FOLDERS:
        _fsync_path(folder)


def _fsync_path(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if _OPENS_FOLDERS else os.O_RDWR)  # Windows syncs what may be written
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


_OPENS_FOLDERS = os.name != "nt"
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""fsync(2): this kind of file cannot be synced, such as a folder on some network file systems."""
