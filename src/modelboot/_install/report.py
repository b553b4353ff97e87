"""What a call of `ensure_model` reports: where the model is, how it got there, and what that took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(slots=True)
class Timings:
    """Seconds of each part of a call."""

    started_s: float = field(default_factory=time.perf_counter)
    phases: list[tuple[str, float]] = field(default_factory=list)

    def mark(self, phase: str) -> None:
        """Note the time since the last mark as the seconds of a phase."""
        before = sum(seconds for _, seconds in self.phases)
        self.phases.append((phase, time.perf_counter() - self.started_s - before))

    def report(
        self,
        pin: ModelPin,
        installed: Installed,
        source: ReportedSource,
        downloaded_bytes: int = 0,
    ) -> InstalledModel:
        """Sum up for the caller."""
        return InstalledModel(
            name=pin.name,
            version=installed.version,
            path=installed.data_folder,
            sha256=pin.sha256,
            verified=installed.sha256 == pin.sha256,
            source=source,
            downloaded_bytes=downloaded_bytes,
            seconds=time.perf_counter() - self.started_s,
            phases=tuple(self.phases),
        )
