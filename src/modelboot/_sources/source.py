"""What to write for a new source: the Source protocol, which every place that may have a wheel follows.

A new source is one file beside this one, a line in `fetch.make_sources`, its name in `errors.SourceName` and
`errors.ReportedSource`, and what to do where it does not have a wheel in `errors._MISSING_HINTS`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from modelboot._deadline import Limits
from modelboot._network.download import Download, Received, download
from modelboot._network.response import RequestError
from modelboot._network.trust_env import TrustEnv
from modelboot._pin import ModelPin
from modelboot.errors import Attempt, DownloadError, HashMismatchError, SourceName

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found out about one thing an install depends on, without changing anything."""

    subject: str
    """What it is: a variable, a target, a source."""
    value: str
    """What a variable is set to; folder, URL or program of a target or source. No secrets."""
    ok: bool | None
    """Whether it can be used; None for a source that is not asked, or that only an install can tell about."""
    found: str = ""
    """What was found there, in words."""
    origin: str = ""
    """Where a setting comes from."""
    through: str = ""
    """The proxy a source is asked through."""
    seconds: float | None = None
    """How long a source took to answer or to fail."""


class Source(Protocol):
    """A place that may have a wheel."""

    @property
    def name(self) -> SourceName:
        """What users call it."""

    def location(self, pin: ModelPin) -> str:
        """Return the folders, URL (without credentials) or program that is asked for a wheel."""

    def disabled(self, pin: ModelPin) -> str:
        """Return the setting that keeps it from being asked for a wheel; empty when it may be asked."""

    def fetch(self, pin: ModelPin, wanted: Download) -> Received:
        """Fetch a wheel.

        Args:
            pin: The wheel.
            wanted: Where to put it, by when, and who follows it. The folder may be used for temporary files.

        Returns:
            The file at `wanted.path`, which has the pinned hash.

        Raises:
            DownloadError: It does not have the wheel, or does not give it; every attempt is in it.
            InstallError: The file cannot be written.
        """

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Find out whether it has a wheel, without fetching it."""


def download_from(source: Source, url: str, pin: ModelPin, wanted: Download, trust_env: TrustEnv) -> Received:
    """Download a wheel from one URL of a source; see `Source.fetch`."""
    with as_failed_attempt(source, pin):
        return download(url, wanted, trust_env)


@contextmanager
def as_failed_attempt(source: Source, pin: ModelPin) -> Iterator[None]:
    """Raise what a source fails on inside the with block as its failed attempt."""
    try:
        yield
    except RequestError as error:
        attempt = Attempt(
            source=source.name,
            where=error.url,
            reason=error.reason,
            kind=error.kind,
            got_sha256=error.got_sha256,
            got_bytes=error.got_bytes,
        )
        raise download_error(pin, attempt) from error


def log_failures(pin: ModelPin, attempts: Sequence[Attempt]) -> None:
    """Say what failed before a source served. Where none does, the error tells, and nothing is said twice."""
    for attempt in attempts:
        if not attempt.got_sha256:
            _log.info("%s: %s", pin, attempt)
    log_hash_mismatches(pin, attempts)


def log_hash_mismatches(pin: ModelPin, attempts: Iterable[Attempt]) -> None:
    """Log other bytes that a source gave before another served: they are given out under this name.

    Where none serves, the error tells.
    """
    for each in attempts:
        if each.got_sha256:
            _log.warning("%s: expected sha256 %s: %s", pin, pin.sha256, each)


def download_error(pin: ModelPin, *attempts: Attempt) -> DownloadError:
    """Return the error for a wheel that no source gave.

    Args:
        pin: The wheel.
        attempts: Every source that was asked, in order.

    Returns:
        A HashMismatchError when any of them gave other bytes: then one of them is not to be trusted.
    """
    error = HashMismatchError if any(attempt.got_sha256 for attempt in attempts) else DownloadError
    return error(name=pin.name, version=pin.version_label, sha256=pin.sha256, attempts=attempts)
