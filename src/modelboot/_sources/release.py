"""The official release, or a mirror that stands in for it: one URL a wheel, over HTTP or from a file."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from modelboot._deadline import Limits
from modelboot._network.download import ZIP_MAGIC, Download, Received
from modelboot._network.file_url import is_file_url, path_of
from modelboot._network.response import RequestError, Response
from modelboot._network.trust_env import HUB, TrustEnv, proxy_for
from modelboot._pin import ModelPin
from modelboot._redact import without_secrets
from modelboot._sources.source import Probe, download_from
from modelboot.errors import ModelbootError, SourceName


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The official release, or one of the mirrors that stand in for it (MODELBOOT_BASE_URL)."""

    mirror: str | None = field(repr=False)  # it may carry a password
    trust_env: TrustEnv
    network_off: str
    """The setting that switches the network off; empty when it is on."""

    @property
    def name(self) -> SourceName:
        """A mirror has its own name, so that users know whom to ask about it."""
        return "mirror" if self.mirror else "release"

    def url(self, pin: ModelPin) -> str:
        """Return the URL of a wheel, with the mirror's user:password. A mirror stands in for hosts, not for files."""
        url = self._published_url(pin)
        return f"{self.trust_env.hub}{url.removeprefix(HUB)}" if _is_at_hub(url) else url

    def _published_url(self, pin: ModelPin) -> str:
        """Return the URL of a wheel as the pin or the mirror has it."""
        if self.mirror is None or (pin.url is not None and is_file_url(pin.url)):
            return pin.release_url
        return url_at(self.mirror, pin)

    def _check(self, pin: ModelPin) -> None:
        """Refuse another program's variable where this wheel needs it."""
        if _is_at_hub(self._published_url(pin)):
            self.trust_env.check_hub()

    def location(self, pin: ModelPin) -> str:
        """Return the URL of a wheel, without credentials."""
        return without_secrets(self.url(pin))

    def disabled(self, pin: ModelPin) -> str:
        """Return the setting that switches the network off, unless the wheel is a file."""
        return "" if is_file_url(self._published_url(pin)) else self.network_off

    def fetch(self, pin: ModelPin, wanted: Download) -> Received:
        """Download the wheel, or copy it from a file."""
        self._check(pin)
        return download_from(self, self.url(pin), pin, wanted, self.trust_env)

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Request the wheel and read its first bytes only."""
        url = self.url(pin)
        if is_file_url(url):
            ok = _is_there(url)
            found = "the wheel is there" if ok else "no such file"
            return [Probe(subject=self.name, value=self.location(pin), ok=ok, found=found)]
        started_s = time.perf_counter()
        reason = self._why_not(pin, url, limits)
        return [
            Probe(
                subject=self.name,
                value=self.location(pin),
                ok=reason is None,
                found=reason or "has the wheel",
                through=without_secrets(proxy_for(url, self.trust_env) or ""),
                seconds=round(time.perf_counter() - started_s, 2),
            )
        ]

    def _why_not(self, pin: ModelPin, url: str, limits: Limits) -> str | None:
        # urllib3 opens a socket when it is imported: not where only files are copied.
        from modelboot._network.client import HttpClient

        try:
            self._check(pin)
            with HttpClient(limits, self.trust_env) as client, client.stream(url) as response:
                reason = _why_no_wheel(response)
        except RequestError as error:
            reason = f"{error.reason}{_after_redirect(url, error.url)}"
        except ModelbootError as error:
            return error.message
        timed_out = reason is not None and limits.deadline.remaining_s == 0
        return f"no answer within {limits.deadline.total_s:g} s" if timed_out else reason


def _is_at_hub(url: str) -> bool:
    return url.startswith(f"{HUB}/")


def url_at(mirror: str, pin: ModelPin) -> str:
    """Return the URL a mirror has a wheel at.

    Args:
        mirror: The root of a release tree, or a URL with placeholders. It may end in a query, such as a token.
        pin: The wheel.
    """
    values = {"{name}": pin.name, "{version}": pin.version_label, "{file}": pin.filename}
    if any(placeholder in mirror for placeholder in values):
        return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], mirror)
    root = urlsplit(mirror)
    return urlunsplit(root._replace(path=f"{root.path.rstrip('/')}/{pin.release_path}", fragment=""))


def _is_there(url: str) -> bool:
    try:
        return os.path.isfile(path_of(url))
    except OSError:
        return False


def _after_redirect(asked: str, failed: str) -> str:
    """Name the host that failed where it is not the one that was asked: a firewall may know the one alone."""
    host = urlsplit(failed).netloc
    return f" (at {host}, after a redirect)" if host not in {"", urlsplit(without_secrets(asked)).netloc} else ""


def _why_no_wheel(response: Response) -> str | None:
    first = b""
    for chunk in response.chunks:  # a slow line may bring a byte at a time
        first += chunk
        if len(first) >= len(ZIP_MAGIC):
            break
    if first.startswith(ZIP_MAGIC):
        return None
    if not first:
        return "an empty response"
    return f"something other than a wheel ({response.content_type or 'no content type'})"
