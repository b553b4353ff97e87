"""A verified wheel → a whole stage: policy check, unpacking with installer, comparison with RECORD, flush to disk."""

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
from modelboot._install import archive as _archive
from modelboot._install.target import INSTALLER
from modelboot._pin import ModelPin
from modelboot.errors import InstallError, without_secrets

if TYPE_CHECKING:
    from installer.records import RecordEntry
    from installer.utils import Scheme

SCHEMES = ("purelib", "platlib", "headers", "scripts", "data")


def unpack(wheel: Path, pin: ModelPin, built: Path) -> None:
    """Unpack a verified wheel into a folder, complete and flushed to disk.

    Args:
        wheel: The wheel file; its SHA-256 has matched the pin's.
        pin: The pin.
        built: Folder to make; the package and its dist-info are all it holds afterwards.

    Raises:
        InstallError: The archive breaks the policy, a member's bytes are not those RECORD names, or the disk is full.
        OSError: It could not be written.
    """
    try:
        contents = _archive.inspect(wheel, pin)
        _check_room(contents.total_bytes, pin, wheel.parent)
        _run_installer(wheel, pin, built, contents)
    except (_archive.PolicyError, *_archive.UNREADABLE) as error:
        raise InstallError(model=str(pin), path=pin.filename, fault="archive", reason=str(error)) from error
    fsync_tree(built)


def _check_room(needed_bytes: int, pin: ModelPin, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        reason = f"needs {needed_bytes:,} bytes, {free_bytes:,} are free"
        raise InstallError(model=str(pin), path=str(folder), fault="space", reason=reason)


def _run_installer(wheel: Path, pin: ModelPin, built: Path, contents: _archive.Contents) -> None:
    # Every scheme key leads into the stage: nothing can reach the live environment, whatever the wheel says.
    schemes = {key: str(built) for key in SCHEMES}
    unpacked = SchemeDictionaryDestination(schemes, interpreter="python", script_kind="posix")
    with zipfile.ZipFile(wheel) as archive:
        # installer reads name and version off the file's name, which may be anything.
        archive.filename = f"{contents.dist_info.removesuffix('.dist-info')}-py3-none-any.whl"
        installer.install(WheelFile(archive), _Compared(unpacked, contents.hashes), _own_metadata(pin))


def _own_metadata(pin: ModelPin) -> dict[str, bytes]:
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


class _Compared(WheelDestination):
    """A destination that holds every written file against the digest RECORD gives it.

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
            raise _archive.PolicyError([f"{entry.path} has not the bytes its RECORD names"])
        return entry

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Write the RECORD of what was installed."""
        self._inner.finalize_installation(scheme, record_file_path, records)
