"""installer's source and destination: the members of a wheel are written two at a time, a large one inflated ahead."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import construct_record_file, make_file_executable

from modelboot._files import CHUNK_BYTES
from modelboot._fsync import Flusher
from modelboot._install.archive import InvalidWheel
from modelboot._threads import read_ahead, run_at_once

if TYPE_CHECKING:
    from installer.utils import Scheme
    from typing_extensions import Self

    from modelboot._threads import Job, Stop

LARGE_BYTES = 1 << 25
"""A member of that size is inflated in a thread of its own. Smaller ones keep two threads busy as they are."""


class ThreadLocalZip:
    """A wheel that each thread opens for itself.

    The members of a ZipFile share a lock. Ctrl-C can leave that held (in Python 3.14, its issue 148874), and then the
    other thread would wait for it, and the interrupted one for the other.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path, self._own, self._opened = path, threading.local(), list[zipfile.ZipFile]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._opened:
            self._opened.pop().close()

    @property
    def get(self) -> zipfile.ZipFile:
        """The archive as this thread has opened it."""
        if not hasattr(self._own, "archive"):
            self._own.archive = zipfile.ZipFile(self._path)
            self._opened.append(self._own.archive)
        return cast("zipfile.ZipFile", self._own.archive)


class Member(io.RawIOBase):
    """A member of an archive, which is opened when it is written."""

    def __init__(self, archives: ThreadLocalZip, info: zipfile.ZipInfo) -> None:
        """Open nothing yet."""
        self._archives, self._info = archives, info
        self.path, self.size_bytes = info.filename, info.file_size

    @contextmanager
    def chunks(self) -> Iterator[Iterator[bytes]]:
        """Inflate it, a large one ahead of the caller."""
        with cast("zipfile.ZipExtFile", self._archives.get.open(self._info)) as stream:
            chunks = iter(partial(stream.read1, CHUNK_BYTES), b"")
            with read_ahead(chunks) if self.size_bytes >= LARGE_BYTES else nullcontext(chunks) as taken:
                yield taken


class ParallelSource(WheelFile):
    """A wheel whose members are not opened one after another: `ParallelDestination` does so."""

    def __init__(self, archives: ThreadLocalZip, name: str) -> None:
        """Name the wheel.

        Args:
            archives: The wheel's file.
            name: What to take its name and version from: the file's own name may be anything.
        """
        archives.get.filename = name
        super().__init__(archives.get)
        self._archives = archives

    def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
        """Yield the members. The check of the archive has compared them with RECORD already."""
        for info in self._zipfile.infolist():
            if not info.is_dir():
                is_executable = bool(info.external_attr >> 16 & 0o111)
                yield (info.filename, "", ""), cast("BinaryIO", Member(self._archives, info)), is_executable


class ParallelDestination(WheelDestination):
    """A folder that receives a wheel, two files at a time; each is compared with RECORD and flushed to disk.

    All is on disk when the flusher's block ends. Whatever scheme the wheel names is this folder: nothing can reach the
    environment. installer leaves the comparison to its caller in every version.
    """

    def __init__(self, directory: Path, hashes: Mapping[str, str], flusher: Flusher) -> None:
        """Make the folder.

        Args:
            directory: The folder; it must not exist.
            hashes: What RECORD says of each member ("sha256=…"), by path.
            flusher: Flushes and closes what is written.
        """
        self._directory, self._hashes, self._flusher = directory, hashes, flusher
        self._writing: list[tuple[int, Job]] = []
        directory.mkdir()

    def write_file(
        self,
        scheme: Scheme,  # noqa: ARG002 - all are one
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 - installer's interface
    ) -> RecordEntry:
        """Write what installer adds to the wheel at once; members wait, as RECORD already has their hashes."""
        name = os.fspath(path)
        file = self._directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(stream, Member):
            job = partial(self._write_member, stream, file, self._hashes[name], is_executable)
            self._writing.append((stream.size_bytes, job))
            return RecordEntry(name, Hash.parse(self._hashes[name]), stream.size_bytes)
        content = stream.read()
        return RecordEntry(name, Hash("sha256", self._write([content], file)), len(content))

    def write_script(self, name: str, *_: object, **__: object) -> RecordEntry:
        """Refuse: the check of the archive lets no script through."""
        raise InvalidWheel([f"script {name}"])

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write the members, the largest first, and then RECORD."""
        run_at_once([job for _, job in sorted(self._writing, key=lambda item: -item[0])])
        with construct_record_file([*records], lambda _: None) as stream:
            self.write_file(scheme, record_file_path, stream, is_executable=False)

    def _write_member(
        self,
        member: Member,
        file: Path,
        expected: str,
        is_executable: bool,  # noqa: FBT001 - as above
        stop: Stop,
    ) -> None:
        with member.chunks() as chunks:
            digest = self._write(_until(stop, chunks), file)
        if stop():
            return
        if f"sha256={digest}" != expected.rstrip("="):
            raise InvalidWheel([f"{member.path} does not match its hash in RECORD"])
        if is_executable:
            make_file_executable(file)

    def _write(self, chunks: Iterable[bytes], file: Path) -> str:
        """Write a file, and return its SHA-256 as RECORD spells it."""
        digest = hashlib.sha256()
        with self._flusher.create(file) as write:
            for chunk in chunks:
                digest.update(chunk)
                write(chunk)
        return base64.urlsafe_b64encode(digest.digest()).decode("ascii").rstrip("=")


def _until(stop: Stop, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if stop():
            return
        yield chunk
