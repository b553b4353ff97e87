"""A verified wheel -> complete package in the stage: free disk space checked, INSTALLER written, all of it flushed.

Each member is compared with RECORD as it is written; beside INSTALLER go REQUESTED and what tells of the wheel's hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import installer
from installer.destinations import WheelDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import construct_record_file

from modelboot._files import CHUNK_BYTES, Identity, fsync, fsync_folders, open_same
from modelboot._install.archive import UNREADABLE, InvalidWheel, WheelContents, validate
from modelboot._install.installed import DIRECT_URL, OWN_FACTS
from modelboot._install.targets import INSTALLER
from modelboot._pin import ModelPin
from modelboot._redact import without_secrets
from modelboot._threads import run_at_once
from modelboot.errors import InstallError

if TYPE_CHECKING:
    from installer.utils import Scheme

    from modelboot._threads import Stop

Opener = Callable[[], BinaryIO]


def unpack(archive: Path, identity: Identity, pin: ModelPin, directory: Path, *, is_from_index: bool = False) -> None:
    """Unpack a verified archive into a folder, complete and flushed to disk.

    Args:
        archive: The archive; its SHA-256 has matched the pin's.
        identity: That of the file that was hashed: nothing is read from another one.
        pin: The pin.
        directory: Folder to make; afterwards it holds the package and its dist-info, and nothing else.
        is_from_index: Whether a package index gave it: then its URL is nothing to record.

    Raises:
        InstallError: The archive is not accepted, a member does not match its hash in RECORD, or the disk is too small.
        OSError: It could not be read or written.
    """
    metadata = installer_metadata(pin, is_from_index=is_from_index)
    opener = partial(open_same, archive, identity)
    try:
        with opener() as file:
            contents = validate(file, pin)
            _check_disk_space(contents.total_bytes, pin, archive.parent)
            directory.mkdir()
            with zipfile.ZipFile(file) as opened:
                installer.install(_Source(opened, contents), _Destination(directory, contents.hashes, opener), metadata)
    except (InvalidWheel, *UNREADABLE) as error:
        raise InstallError(model=str(pin), path=pin.filename, fault="archive", reason=str(error)) from error
    fsync_folders(directory)


def _check_disk_space(needed_bytes: int, pin: ModelPin, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        reason = f"needs {needed_bytes:,} bytes, {free_bytes:,} are free"
        raise InstallError(model=str(pin), path=str(folder), fault="space", reason=reason)


class _Source(WheelFile):
    """The archive as installer reads it: its description, and the members as they stand in its directory."""

    def __init__(self, archive: zipfile.ZipFile, contents: WheelContents) -> None:
        """Take name and version from the dist-info: the name of the file may be anything."""
        archive.filename = f"{contents.dist_info.removesuffix('.dist-info')}-py3-none-any.whl"
        super().__init__(archive)
        self._hashes = contents.hashes

    def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
        """Yield what RECORD lists, unread: neither RECORD nor its signatures, as another RECORD is written."""
        for member in self._zipfile.infolist():
            if member.filename in self._hashes:
                is_executable = bool(member.external_attr >> 16 & 0o111)
                yield (member.filename, "", ""), cast("BinaryIO", member), is_executable


class _Destination(WheelDestination):
    """A folder that receives an archive, two members at a time; each is compared with RECORD and flushed to disk.

    Whatever scheme the archive names is this folder: nothing can reach the environment.
    """

    def __init__(self, directory: Path, hashes: Mapping[str, str], opener: Opener) -> None:
        """Write nothing yet.

        Args:
            directory: The folder.
            hashes: What RECORD says of each member ("sha256=…"), by path.
            opener: Opens the archive.
        """
        self._directory, self._hashes, self._opener = directory, hashes, opener
        self._members: list[tuple[zipfile.ZipInfo, bool]] = []

    def write_file(
        self,
        scheme: Scheme,  # noqa: ARG002 - all are one
        path: str | os.PathLike[str],
        stream: BinaryIO | zipfile.ZipInfo,
        is_executable: bool,  # noqa: FBT001 - installer's interface
    ) -> RecordEntry:
        """Write what installer adds to the archive at once; members wait, as RECORD already has their hashes."""
        name = os.fspath(path)
        (self._directory / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(stream, zipfile.ZipInfo):
            self._members.append((stream, is_executable))
            return RecordEntry(name, Hash.parse(self._hashes[name]), stream.file_size)
        content = stream.read()
        return RecordEntry(name, Hash("sha256", _write(self._directory / name, [content])), len(content))

    def write_script(self, name: str, *_: object, **__: object) -> RecordEntry:
        """Refuse: the check of the archive lets no script through."""
        raise InvalidWheel([f"script {name}"])

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write the members, the largest first, and then RECORD."""
        self._members.sort(key=lambda item: -item[0].file_size)
        run_at_once([partial(self._write_member, *item) for item in self._members])
        with construct_record_file([*records], lambda _: None) as stream:
            self.write_file(scheme, record_file_path, stream, is_executable=False)

    def _write_member(self, member: zipfile.ZipInfo, is_executable: bool, stop: Stop) -> None:  # noqa: FBT001 - as above
        # Opened by each job: the members of one ZipFile share a lock, which Ctrl-C can leave held.
        with self._opener() as file, zipfile.ZipFile(file) as archive, archive.open(member) as stream:
            chunks = _until(stop, iter(partial(stream.read, CHUNK_BYTES), b""))
            digest = _write(self._directory / member.filename, chunks, is_executable=is_executable)
        if f"sha256={digest}" != self._hashes[member.filename].rstrip("="):
            raise InvalidWheel([f"{member.filename} does not match its hash in RECORD"])


def _until(stop: Stop, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if stop():
            raise InterruptedError  # not shown: what ended the jobs is raised
        yield chunk


def _write(path: Path, chunks: Iterable[bytes], *, is_executable: bool = False) -> str:
    """Write a new file through to the disk, and return its SHA-256 as RECORD spells it."""
    digest = hashlib.sha256()
    with open(path, "xb", opener=partial(os.open, mode=0o777 if is_executable else 0o666)) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        fsync(file.fileno())
    return base64.urlsafe_b64encode(digest.digest()).decode("ascii").rstrip("=")


def installer_metadata(pin: ModelPin, *, is_from_index: bool) -> dict[str, bytes]:
    """Return the files an installer adds to the dist-info, so that pip and uv know where it came from (PEP 610, 376).

    The URL is the pin's, not the source's: the hash proves that the bytes are the same, and what `pip freeze` prints
    then works on other machines and names no mirror. What came from an index has no URL, as with pip, so that
    `pip freeze` prints its version; its hash stands in a file of modelboot's own.
    """
    facts: dict[str, object] = {"archive_info": {"hash": f"sha256={pin.sha256}", "hashes": {"sha256": pin.sha256}}}
    if not is_from_index:
        facts["url"] = without_secrets(pin.release_url)
    return {
        "INSTALLER": f"{INSTALLER}\n".encode(),
        "REQUESTED": b"",
        OWN_FACTS if is_from_index else DIRECT_URL: json.dumps(facts, sort_keys=True).encode(),
    }
