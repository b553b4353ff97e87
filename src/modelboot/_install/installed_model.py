"""What a caller is told of a model that is installed: where it is, how it got there, and what that cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - so that typing.get_type_hints works on what callers get
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from modelboot._pin import ModelPin

Source = Literal["present", "wheelhouse", "release", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that is installed and whole, and what it took."""

    name: str
    version: str
    path: Path
    """Folder of the pipeline's data: what `spacy.load` takes."""
    sha256: str
    """SHA-256 of the pinned wheel."""
    source: Source
    """How it got there: it was there already, or the source that served it (a mirror counts as the release)."""
    downloaded_bytes: int
    """Bytes that came over the network in this call."""
    seconds: float
    """Time this call took."""
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part of the call, in order: "look", "wait", "get", "unpack", "publish"."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(slots=True)
class Clock:
    """Seconds of each part of a call."""

    started_s: float = field(default_factory=time.perf_counter)
    laps: list[tuple[str, float]] = field(default_factory=list)

    def lap(self, phase: str) -> None:
        """Note what has passed since the last lap as the seconds of a phase."""
        before = sum(seconds for _, seconds in self.laps)
        self.laps.append((phase, time.perf_counter() - self.started_s - before))

    def report(
        self,
        pin: ModelPin,
        path: Path,
        source: Source,
        downloaded_bytes: int = 0,
    ) -> InstalledModel:
        """Sum up for the caller."""
        return InstalledModel(
            name=pin.name,
            version=pin.version,
            path=path,
            sha256=pin.sha256,
            source=source,
            downloaded_bytes=downloaded_bytes,
            seconds=time.perf_counter() - self.started_s,
            phases=tuple(self.laps),
        )
