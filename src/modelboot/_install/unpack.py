"""A verified wheel -> complete package in the staging directory: checked, unpacked, compared with RECORD, flushed.

Free disk space is checked here, and INSTALLER, REQUESTED and what tells of the wheel's hash are written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import installer

from modelboot._fsync import Flusher, fsync_folders
from modelboot._install.archive import UNREADABLE, InvalidWheel, WheelContents, validate
from modelboot._install.installed import DIRECT_URL, OWN_FACTS
from modelboot._install.parallel import ParallelDestination, ParallelSource, ThreadLocalZip
from modelboot._install.target import INSTALLER
from modelboot._pin import ModelPin
from modelboot._redact import without_secrets
from modelboot.errors import InstallError


def unpack(wheel: Path, pin: ModelPin, directory: Path, *, is_from_index: bool = False) -> None:
    """Unpack a verified wheel into a folder, complete and flushed to disk.

    Args:
        wheel: The wheel file; its SHA-256 has matched the pin's.
        pin: The pin.
        directory: Folder to make; afterwards it holds the package and its dist-info, and nothing else.
        is_from_index: Whether a package index gave it: then its URL is nothing to record.

    Raises:
        InstallError: The wheel is not accepted, a member does not match its hash in RECORD, or the disk is too small.
        OSError: It could not be written.
    """
    try:
        contents = validate(wheel, pin)
        _check_disk_space(contents.total_bytes, pin, wheel.parent)
        _run_installer(wheel, installer_metadata(pin, is_from_index=is_from_index), directory, contents)
    except (InvalidWheel, *UNREADABLE) as error:
        raise InstallError(model=str(pin), path=pin.filename, fault="archive", reason=str(error)) from error
    fsync_folders(directory)


def _check_disk_space(needed_bytes: int, pin: ModelPin, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        reason = f"needs {needed_bytes:,} bytes, {free_bytes:,} are free"
        raise InstallError(model=str(pin), path=str(folder), fault="space", reason=reason)


def _run_installer(wheel: Path, metadata: dict[str, bytes], directory: Path, contents: WheelContents) -> None:
    name = f"{contents.dist_info.removesuffix('.dist-info')}-py3-none-any.whl"
    with ThreadLocalZip(wheel) as archives, Flusher() as flusher:
        destination = ParallelDestination(directory, contents.hashes, flusher)
        installer.install(ParallelSource(archives, name), destination, metadata)


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
