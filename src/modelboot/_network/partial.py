"""The .part file: private, hashed as it is written, resumable, renamed once it is verified."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from modelboot._files import CHUNK_BYTES, Identity, identity_of, rename
from modelboot._turns import raise_if_from_signal
from modelboot.errors import InstallError

if TYPE_CHECKING:
    from typing_extensions import Self


class PartialFile:
    """A file that is being received. A full disk is not the source's fault: a failure to write is an InstallError."""

    def __init__(self, path: Path, label: str) -> None:
        """Open nothing yet.

        Args:
            path: The file; what an earlier call left there is continued.
            label: What is being received, for messages.
        """
        self.size_bytes = 0
        self.validator: str | None = None
        self.resumed = False
        """Whether what is there came over more than one connection."""
        self._path, self._label = path, label
        self._validator_path = path.with_name(f"{path.name}.json")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        with self._translating_errors():
            self._file = left = _open(self._path)
            if _may_change(left):
                self._path.unlink()
                self._file = _open(self._path, os.O_EXCL)
            left.seek(0)
            size_bytes = os.fstat(left.fileno()).st_size
            while self.size_bytes < size_bytes and (chunk := left.read(CHUNK_BYTES)):
                if left is not self._file:
                    self._file.write(chunk)
                self._count(chunk)
            if left is not self._file:
                left.close()
            if self.size_bytes:
                self.resumed = True
                self.validator = self._read_validator()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Close the file, and remove it after a failure. After Ctrl-C it stays, to be resumed."""
        with suppress(OSError):  # a full disk again: it has been reported
            self._file.close()
        if error is not None and issubclass(error, Exception):
            self._path.unlink(missing_ok=True)
            self._validator_path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been received so far."""
        return self._digest.hexdigest()

    def set_validator(self, validator: str | None) -> None:
        """Save what identifies this very file on the server, so that a later call can resume it, too."""
        if validator == self.validator:
            return
        with self._translating_errors():
            self._validator_path.unlink(missing_ok=True)
            if validator is not None:
                with self._validator_path.open("x", encoding="utf-8") as file:  # follows no link
                    json.dump({"validator": validator}, file)
        self.validator = validator

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        with self._translating_errors():
            self._file.write(chunk)
        self._count(chunk)

    def discard(self) -> None:
        """Drop what has been received so far."""
        with self._translating_errors():
            self._file.seek(0)
            self._file.truncate()
            self._validator_path.unlink(missing_ok=True)
        self.size_bytes, self.validator, self.resumed = 0, None, False
        self._digest = hashlib.sha256()

    def rename(self, path: Path) -> Identity:
        """Give the verified file its name, and return what tells it from any other."""
        with self._translating_errors():
            identity = identity_of(self._file)
            self._file.close()
            rename(self._path, path, replacing=True)
            self._validator_path.unlink(missing_ok=True)
        return identity

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def _read_validator(self) -> str | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self._validator_path.read_text("utf-8"))["validator"])
        return None

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise_if_from_signal(error)
            raise InstallError.from_os_error(error, model=self._label, path=str(self._path)) from error


def _open(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file, or make one that is private to this user, to append to it; a link is not followed."""
    flags |= getattr(os, "O_NOFOLLOW", 0)
    # Chunks go straight to the file: Python 3.14 would keep 128 KiB back, which a kill loses.
    return open(path, "a+b", buffering=1 << 13, opener=lambda name, usual: os.open(name, usual | flags, 0o600))


def _may_change(file: BinaryIO) -> bool:
    """Return True if a file that was there is also another's: its user may write to it, or it has a second name."""
    status = os.fstat(file.fileno())
    if not (stat.S_ISREG(status.st_mode) and hasattr(os, "geteuid")):
        return False
    is_shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_nlink > 1
    return status.st_uid != os.geteuid() or bool(is_shared)
