"""The file a body is written to while it comes in: hashed on the way, resumable, named only when it is verified."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot.errors import InstallError

if TYPE_CHECKING:
    from typing_extensions import Self

PIECE_BYTES = 1 << 18


class Part:
    """A part file. A full disk is not the source's fault: whatever the file refuses is an InstallError."""

    def __init__(self, path: Path, model: str) -> None:
        """Take up a part file.

        Args:
            path: The file; what an earlier call left there is taken up again.
            model: Name and version of the model, for messages.
        """
        self.size_bytes = 0
        self.validator: str | None = None
        self.resumed = False
        """Whether what is there came over more than one connection."""
        self._path, self._model = path, model
        self._note = path.with_name(f"{path.name}.json")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        with self._blaming_the_disk():
            self._file = self._path.open("a+b")
            self._file.seek(0)
            size_bytes = os.fstat(self._file.fileno()).st_size
            while self.size_bytes < size_bytes and (piece := self._file.read(PIECE_BYTES)):
                self._count(piece)
            if self.size_bytes:
                self.resumed = True
                self.validator = self._noted()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Close the file, and remove it after a failure. What was merely interrupted stays, to be resumed."""
        with suppress(OSError):  # a full disk again: it has been told
            self._file.close()
        if error is not None:
            self._path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has come so far."""
        return self._digest.hexdigest()

    def begin(self, validator: str | None) -> None:
        """Note what the server knows this very file by, so that a later call can resume it, too."""
        if validator == self.validator:
            return
        with self._blaming_the_disk():
            if validator is None:
                self._note.unlink(missing_ok=True)
            else:
                self._note.write_text(json.dumps({"validator": validator}), "utf-8")
        self.validator = validator

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        with self._blaming_the_disk():
            self._file.write(piece)
        self._count(piece)

    def restart(self) -> None:
        """Drop what has come so far."""
        with self._blaming_the_disk():
            self._file.seek(0)
            self._file.truncate()
            self._note.unlink(missing_ok=True)
        self.size_bytes, self.validator, self.resumed = 0, None, False
        self._digest = hashlib.sha256()

    def publish(self, path: Path) -> None:
        """Give the file its name."""
        with self._blaming_the_disk():
            self._file.close()
            self._path.replace(path)
            self._note.unlink(missing_ok=True)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size_bytes += len(piece)

    def _noted(self) -> str | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self._note.read_text("utf-8"))["validator"])
        return None

    @contextmanager
    def _blaming_the_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InstallError.from_os_error(error, model=self._model, path=str(self._path)) from error
