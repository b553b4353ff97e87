"""The wheelhouse: folders of wheels, searched for the pinned file name and then for any wheel of the pinned hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from modelboot._deadline import Deadline, Limits
from modelboot._files import read_chunks
from modelboot._network.download import Download, Received, copy
from modelboot._network.file_url import errors_translated
from modelboot._network.response import RequestError
from modelboot._pin import ModelPin
from modelboot._sources.source import Probe, as_failed_attempt, download_error, log_hash_mismatches
from modelboot.errors import Attempt, DownloadError


class Wheelhouse(NamedTuple):
    """Folders of wheels (MODELBOOT_WHEELHOUSE)."""

    folders: tuple[Path, ...]
    name: Literal["wheelhouse"] = "wheelhouse"

    def location(self, pin: ModelPin) -> str:  # noqa: ARG002 - the same folders for every wheel
        """Return the folders, separated as in PATH."""
        return os.pathsep.join(map(str, self.folders))

    def disabled(self, pin: ModelPin) -> str:  # noqa: ARG002
        """Return nothing: folders may always be searched."""
        return ""

    def fetch(self, pin: ModelPin, wanted: Download) -> Received:
        """Copy the file of the pinned name or, failing that, any wheel whose hash matches."""
        attempts: list[Attempt] = []
        with as_failed_attempt(self, pin):
            for file in self._candidates(pin, wanted.limits.deadline):
                try:
                    received = self._copy(file, pin, wanted)
                except DownloadError as error:
                    attempts += error.attempts
                    continue
                log_hash_mismatches(pin, attempts)
                return received
        raise download_error(pin, *(attempts or [self._nothing_found(pin)]))

    def _candidates(self, pin: ModelPin, deadline: Deadline) -> Iterator[Path]:
        """Yield files of the pinned name, then wheels that were renamed: those with the pinned hash."""
        for folder in self.folders:
            # Not Path.is_file: it raises where the folder may not be searched.
            yield from (path for path in _places_of_name(folder, pin) if os.path.isfile(path))
        for folder in self.folders:
            wheels = sorted(folder.glob("*.whl"))
            yield from (path for path in wheels if os.path.isfile(path) and _has_hash(path, pin, deadline))

    def _copy(self, file: Path, pin: ModelPin, wanted: Download) -> Received:
        """Copy a file and verify the copy, unless this process has seen that it has other bytes."""
        with as_failed_attempt(self, pin):
            state = _state_of(file)
            known = _known.get(state, pin.sha256)
            if known != pin.sha256:
                raise RequestError(f"got sha256 {known}", file.as_uri(), kind="bytes", got_sha256=known)
            try:
                return copy(file.as_uri(), wanted)
            except RequestError as error:
                if error.got_sha256:
                    _known[state] = error.got_sha256
                raise

    def _nothing_found(self, pin: ModelPin) -> Attempt:
        missing = [str(folder) for folder in self.folders if not os.path.isdir(folder)]
        nowhere = f"no such folder: {', '.join(missing)}" if missing else ""
        reason = f"no {pin.filename} and no wheel of that hash{nowhere and f' ({nowhere})'}"
        return Attempt(
            source=self.name,
            where=self.location(pin),
            reason="no such folder" if len(missing) == len(self.folders) else reason,
            kind="missing",
            hint=f"create {' and '.join(missing)} or fix MODELBOOT_WHEELHOUSE" if missing else None,
        )

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:  # noqa: ARG002 - looking takes no time
        """Look into each folder for the pinned name; what only a hash would tell is left to an install."""
        return [self._probe_folder(folder, pin) for folder in self.folders]

    def _probe_folder(self, folder: Path, pin: ModelPin) -> Probe:
        ok: bool | None = False
        found = f"no {pin.filename}"
        try:
            wheels = [name for name in os.listdir(folder) if name.endswith(".whl")]
        except OSError as error:
            found = error.strerror or str(error)
        else:
            if any(map(os.path.isfile, _places_of_name(folder, pin))):
                ok, found = True, f"has {pin.filename}"
            elif wheels:
                ok = None
                found += f", but wheels of other names ({len(wheels)}), which an install compares by hash"
        return Probe(subject=self.name, value=str(folder), ok=ok, found=found)


_known: dict[tuple[int, ...], str] = {}
"""SHA-256 of files that this process has read, by what changes with their contents: no call reads them again."""


def _state_of(file: Path) -> tuple[int, ...]:
    with errors_translated(file.as_uri()):
        status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _has_hash(file: Path, pin: ModelPin, deadline: Deadline) -> bool:
    try:
        state = _state_of(file)
        if state not in _known:
            _known[state] = _hash_by(file, deadline)
    except RequestError:  # one that cannot be read is not the pinned one, and the next may be
        if deadline.remaining_s == 0:
            raise
        return False
    return _known[state] == pin.sha256


def _hash_by(file: Path, deadline: Deadline) -> str:
    digest = hashlib.sha256()
    with errors_translated(file.as_uri()):
        for chunk in read_chunks(file):
            if deadline.remaining_s == 0:
                raise RequestError(str(deadline), file.as_uri())
            digest.update(chunk)
    return digest.hexdigest()


def _places_of_name(folder: Path, pin: ModelPin) -> tuple[Path, Path]:
    """Return where a folder may have the file: in itself, and where the release tree would have it."""
    return folder / pin.filename, folder / pin.release_path
