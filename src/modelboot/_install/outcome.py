"""What finding or installing a model came to: where it is, how it got there, and what each part took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modelboot._install.installed import Installed
from modelboot._pin import ModelPin
from modelboot.errors import ReportedSource


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that is installed and intact, and what the call took."""

    name: str
    version: str
    path: Path
    """Folder of the pipeline's data: what `spacy.load` takes."""
    sha256: str
    """SHA-256 of the pinned wheel."""
    verified: bool
    """Whether the hash recorded at the install is the pin's; another program may have recorded none."""
    source: ReportedSource
    """Where it came from: "present" if it was installed already, else the source; a mirror counts as the release."""
    downloaded_bytes: int
    """Bytes that came over the network in this call."""
    seconds: float
    """Time this call took."""
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part of the call, in order: "find", "lock", "fetch", "unpack", "publish"."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Outcome(NamedTuple):
    """A model that is installed and intact."""

    installed: Installed
    source: ReportedSource = "present"
    """Where it came from: "present" if it was installed already."""
    downloaded_bytes: int = 0
    """Bytes that came over the network in this call."""

    def report(self, pin: ModelPin, timings: Timings) -> InstalledModel:
        """Sum up for the caller of `ensure_model`."""
        return InstalledModel(
            name=pin.name,
            version=self.installed.version,
            path=self.installed.data_folder,
            sha256=pin.sha256,
            verified=self.installed.sha256 == pin.sha256,
            source=self.source,
            downloaded_bytes=self.downloaded_bytes,
            seconds=timings.seconds,
            phases=tuple(timings.phases),
        )


class Timings:
    """Seconds of each part of a call."""

    def __init__(self) -> None:
        """Start now."""
        self._started_s = self._marked_s = time.perf_counter()
        self.phases: list[tuple[str, float]] = []

    def mark(self, phase: str) -> None:
        """Note the time since the last mark as the seconds of a phase."""
        before_s, self._marked_s = self._marked_s, time.perf_counter()
        self.phases.append((phase, self._marked_s - before_s))

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._started_s
