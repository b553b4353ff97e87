"""What finding or installing a model came to: where it is, how it got there, and what each part took."""

from __future__ import annotations

import time
from typing import NamedTuple

from modelboot._install.installed import Installed
from modelboot.errors import ReportedSource


class Outcome(NamedTuple):
    """A model that is installed and intact."""

    installed: Installed
    source: ReportedSource = "present"
    """Where it came from: "present" if it was installed already."""
    downloaded_bytes: int = 0
    """Bytes that came over the network in this call."""


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
