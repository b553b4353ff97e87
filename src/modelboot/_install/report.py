"""What a call of `ensure_model` reports: where the model is, how it got there, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelboot._install.outcome import Outcome, Timings
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


def report(pin: ModelPin, outcome: Outcome, timings: Timings) -> InstalledModel:
    """Sum up for the caller of `ensure_model`."""
    installed = outcome.installed
    return InstalledModel(
        name=pin.name,
        version=installed.version,
        path=installed.data_folder,
        sha256=pin.sha256,
        verified=installed.sha256 == pin.sha256,
        source=outcome.source,
        downloaded_bytes=outcome.downloaded_bytes,
        seconds=timings.seconds,
        phases=tuple(timings.phases),
    )
