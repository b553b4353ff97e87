"""The .part file: hashed as it is written, resumable, renamed once it is verified."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._files import CHUNK_BYTES, rename
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
            # Chunks go straight to the file: Python 3.14 would keep 128 KiB back, which a kill loses.
            self._file = self._path.open("a+b", buffering=1 << 13)
            self._file.seek(0)
            size_bytes = os.fstat(self._file.fileno()).st_size
            while self.size_bytes < size_bytes and (chunk := self._file.read(CHUNK_BYTES)):
                self._count(chunk)
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
            if validator is None:
                self._validator_path.unlink(missing_ok=True)
            else:
                self._validator_path.write_text(json.dumps({"validator": validator}), "utf-8")
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

    def rename(self, path: Path) -> None:
        """Give the verified file its name."""
        with self._translating_errors():
            self._file.close()
            rename(self._path, path, replacing=True)
            self._validator_path.unlink(missing_ok=True)

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
            raise InstallError.from_os_error(error, model=self._label, path=str(self._path)) from error
