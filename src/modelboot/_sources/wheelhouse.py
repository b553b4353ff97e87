"""The wheelhouse: folders of wheels, searched for the pinned file name and then for any wheel of the pinned hash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from modelboot._files import sha256_of
from modelboot._limits import Limits
from modelboot._network.download import Download
from modelboot._pin import ModelPin
from modelboot._settings import TrustEnv
from modelboot._sources.source import Probe, download_from, failure, warn_of_other_bytes
from modelboot.errors import Attempt, DownloadError


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """Folders of wheels (MODELBOOT_WHEELHOUSE)."""

    folders: tuple[Path, ...]
    name: Literal["wheelhouse"] = "wheelhouse"

    def location(self, pin: ModelPin) -> str:  # noqa: ARG002 - the same folders for every wheel
        """Return the folders, separated as in PATH."""
        return os.pathsep.join(map(str, self.folders))

    def disabled(self, pin: ModelPin) -> str:  # noqa: ARG002
        """Return nothing: folders may always be searched."""
        return ""

    def fetch(self, pin: ModelPin, wanted: Download) -> int:
        """Copy the file of the pinned name or, failing that, any wheel whose hash matches."""
        attempts: list[Attempt] = []
        for file in chain(self._named(pin), self._with_hash(pin)):
            try:
                download_from(self, file.as_uri(), pin, wanted, TrustEnv())
            except DownloadError as error:
                attempts += error.attempts
                continue
            warn_of_other_bytes(pin, attempts)
            return 0
        if not attempts:
            reason = f"no {pin.filename} and no wheel of that hash"
            attempts.append(Attempt(source=self.name, where=self.location(pin), reason=reason))
        raise failure(pin, *attempts)

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

    def _named(self, pin: ModelPin) -> Iterator[Path]:
        for folder in self.folders:
            # Not Path.is_file: it raises where the folder may not be searched.
            yield from (path for path in _places_of_name(folder, pin) if os.path.isfile(path))

    def _with_hash(self, pin: ModelPin) -> Iterator[Path]:
        """Yield wheels that somebody renamed."""
        for folder in self.folders:
            for path in sorted(folder.glob("*.whl")):
                with suppress(OSError):  # one that cannot be read is not the pinned one, and the next may be
                    if path.is_file() and sha256_of(path).hex() == pin.sha256:
                        yield path


def _places_of_name(folder: Path, pin: ModelPin) -> tuple[Path, Path]:
    """Return where a folder may have the file: in itself, and where the release tree would have it."""
    return folder / pin.filename, folder / pin.release_path
