"""The official release, or a mirror of it: one URL a wheel, over HTTP or from a file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from modelboot._limits import Limits
from modelboot._network.download import ZIP_MAGIC, Download
from modelboot._network.file_url import is_file_url, path_of
from modelboot._network.response import RequestError, Response
from modelboot._network.trust_env import proxy_for
from modelboot._pin import ModelPin
from modelboot._settings import TrustEnv
from modelboot._sources.source import Probe, download_from
from modelboot.errors import ModelbootError, SourceName, without_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release tree, or a mirror of it (MODELBOOT_BASE_URL)."""

    base_url: str | None = field(repr=False)  # it may carry a password
    trust_env: TrustEnv
    network_off: str
    """The setting that switches the network off; empty when it is on."""

    @property
    def name(self) -> SourceName:
        """A mirror has its own name, so that users know whom to ask about it."""
        return "mirror" if self.base_url else "release"

    def url(self, pin: ModelPin) -> str:
        """Return the URL of a wheel, with the mirror's user:password. A mirror stands in for hosts, not for files."""
        if self.base_url is None or (pin.url is not None and is_file_url(pin.url)):
            return pin.release_url
        base = urlsplit(self.base_url)  # it may end in a query, such as a token
        return urlunsplit(base._replace(path=f"{base.path.rstrip('/')}/{pin.release_path}", fragment=""))

    def location(self, pin: ModelPin) -> str:
        """Return the URL of a wheel, without credentials."""
        return without_secrets(self.url(pin))

    def disabled(self, pin: ModelPin) -> str:
        """Return the setting that switches the network off, unless the wheel is a file."""
        return "" if is_file_url(self.url(pin)) else self.network_off

    def fetch(self, pin: ModelPin, wanted: Download) -> int:
        """Download the wheel; a copy of a file counts as no bytes over the network."""
        url = self.url(pin)
        downloaded_bytes = download_from(self, url, pin, wanted, self.trust_env)
        return 0 if is_file_url(url) else downloaded_bytes

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Request the wheel and read its first bytes only."""
        url = self.url(pin)
        if is_file_url(url):
            ok = _is_there(url)
            found = "the wheel is there" if ok else "no such file"
            return [Probe(subject=self.name, value=self.location(pin), ok=ok, found=found)]
        started_s = time.perf_counter()
        reason = self._why_not(url, limits)
        return [
            Probe(
                subject=self.name,
                value=self.location(pin),
                ok=reason is None,
                found=reason or "answers",
                through=without_secrets(proxy_for(url) or ""),
                seconds=round(time.perf_counter() - started_s, 2),
            )
        ]

    def _why_not(self, url: str, limits: Limits) -> str | None:
        # urllib3 opens a socket when it is imported: not where only files are copied.
        from modelboot._network.client import HttpClient

        try:
            with HttpClient(limits, self.trust_env) as client, client.stream(url) as response:
                reason = _why_no_wheel(response)
        except RequestError as error:
            reason = error.reason
        except ModelbootError as error:
            return error.message
        timed_out = reason is not None and limits.deadline.remaining_s == 0
        return f"no answer within {limits.deadline.total_s:g} s" if timed_out else reason


def _is_there(url: str) -> bool:
    try:
        return os.path.isfile(path_of(url))
    except OSError:
        return False


def _why_no_wheel(response: Response) -> str | None:
    first = next(iter(response.chunks), b"")
    if first.startswith(ZIP_MAGIC):
        return None
    if not first:
        return "an empty response"
    return f"something other than a wheel ({response.content_type or 'no content type'})"
