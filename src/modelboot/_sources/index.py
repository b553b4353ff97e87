"""The package indexes that pip and uv are set up with, asked directly through the Simple API (PEP 503, 691, 592)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from modelboot._deadline import Deadline, Limits
from modelboot._network.download import Download, Received, download
from modelboot._network.file_url import is_file_url, open_file, path_of
from modelboot._network.response import RequestError
from modelboot._network.retry import RetryBudget
from modelboot._network.trust_env import ContextAhead, TrustEnv, origin_of, proxy_for
from modelboot._pin import ModelPin
from modelboot._redact import without_secrets
from modelboot._sources.index_page import Link, is_place, link_to, links_of
from modelboot._sources.index_settings import NO_PUBLIC_INDEX, Index, read_indexes, unread_files
from modelboot._sources.source import Probe, download_error, log_failures
from modelboot._versions import same_name
from modelboot.errors import Attempt, SettingsError

if TYPE_CHECKING:
    from modelboot._network.client import HttpClient

T = TypeVar("T")

MAX_TRIED = 3
"""Most files that are downloaded of one index, where it lists no hashes."""
PAGE_S = 60.0
"""Longest time for the page of one index, and for a keyring that may want to be unlocked."""
RETRIES = 1
"""Most further tries for a page: other indexes are waiting."""
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LOOPBACK = r"localhost|127(\.\d+){3}|::1"
_PATH = r"(\w+://[^/\s]+)/\S*"
"""A web address in a reason: its path may be a secret."""
_HOST_ALONE = r"\1/..."


class PackageIndexes(NamedTuple):
    """The package indexes, one after another. pip's and uv's files are read only when it is their turn, as the last."""

    trust_env: TrustEnv
    disabled_by: str
    """The setting that keeps all of them from being asked; empty when they may be."""
    network_off: str
    """The setting that leaves only those on this machine; empty when the network is on."""
    name: Literal["index"] = "index"

    def __repr__(self) -> str:
        """Leave out what may carry a password."""
        return "PackageIndexes()"

    def location(self, pin: ModelPin) -> str:  # noqa: ARG002 - the same for every wheel
        """Return in words which indexes are asked: their settings are read when it is their turn."""
        return "as pip and uv are set up"

    def disabled(self, pin: ModelPin) -> str:
        """Return what keeps them from being asked: a setting, or a pin of no version."""
        if self.disabled_by or not pin.version:
            return self.disabled_by or "the pin has no version"
        return "" if not self.network_off or self._indexes() else self.network_off

    def fetch(self, pin: ModelPin, wanted: Download) -> Received:
        """Download the wheel from the first index that lists it and gives the pinned bytes."""
        attempts: list[Attempt] = []
        for index in self._indexes():
            wanted.progress.ask(str(pin), f"{self.name} ({index.shown})")
            try:
                received = self._listing(index, pin, wanted.limits).download(wanted)
            except (RequestError, SettingsError) as error:
                attempts.append(_attempt(index, error))
            else:
                log_failures(pin, attempts)
                return received
        raise download_error(pin, *(attempts or [_NONE_SET_UP]))

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Read what each index lists."""
        return [self._probe(index, pin, limits) for index in self._indexes()]

    def _probe(self, index: Index, pin: ModelPin, limits: Limits) -> Probe:
        started_s, ok, through = time.perf_counter(), True, ""
        try:
            listing = self._listing(index, pin, limits)
            through = "" if index.is_local else without_secrets(proxy_for(index.url, index.trust_env) or "")
            (found, *_) = listing.links()
        except (RequestError, SettingsError) as error:
            attempt, ok = _attempt(index, error), False
            words = "lists other bytes" if attempt.kind == "bytes" else attempt.reason
        else:
            hashed = "with the pinned hash" if found.sha256 else "without a hash: an install compares it"
            words = f"lists {pin} {hashed}"
        seconds = round(time.perf_counter() - started_s, 2)
        return Probe(subject=self.name, value=index.shown, ok=ok, found=words, through=through, seconds=seconds)

    def _listing(self, index: Index, pin: ModelPin, limits: Limits) -> _Listing:
        return _Listing(index, pin, limits, is_offline=bool(self.network_off))

    def _indexes(self) -> list[Index]:
        indexes = read_indexes(self.trust_env, os.environ)
        return [index for index in indexes if index.is_local or not self.network_off]


_NONE_SET_UP = Attempt(
    source="index",
    where="none is set up",
    reason="no-index leaves only find-links, and there are none",
    kind="missing",
    hint="unset PIP_NO_INDEX or UV_NO_INDEX if a package index may be asked",
)


def _attempt(index: Index, error: RequestError | SettingsError) -> Attempt:
    """Say of a failure at which index it was, and at which other host; the path may have a token in it."""
    if isinstance(error, SettingsError):  # certificates that cannot be read
        error = RequestError(error.message, "", kind="certificate")
    host = urlsplit(error.url).netloc if error.url else ""
    elsewhere = f" (at {host})" if host and host not in index.shown else ""
    unread, reason = unread_files(os.environ), error.reason
    if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        reason = f"{reason.partition(': give')[0]}: give user:password in the index's URL, .netrc or a keyring"
    return Attempt(
        source="index",
        where=index.shown,
        reason=f"{re.sub(_PATH, _HOST_ALONE, reason)}{elsewhere}",
        kind=error.kind,
        got_sha256=error.got_sha256,
        got_bytes=error.got_bytes,
        hint=f"name the index in UV_DEFAULT_INDEX: Python 3.10 cannot read {unread[0]}" if unread else None,
    )


class _Listing:
    """What one index lists of one wheel."""

    def __init__(self, index: Index, pin: ModelPin, limits: Limits, *, is_offline: bool) -> None:
        """Ask nothing yet.

        Raises:
            RequestError: It is not a place that can be asked.
        """
        self._index, self._pin, self._is_offline = index, pin, is_offline
        # Other indexes are waiting, so that a page has not the time of a download.
        deadline = limits.deadline
        self._limits = limits._replace(deadline=Deadline.after(PAGE_S) if deadline.remaining_s > PAGE_S else deadline)
        if not index.url:
            raise RequestError(NO_PUBLIC_INDEX, "")
        if not is_place(index.url, ("http", "https", "file")):
            raise RequestError("is neither an http, https or file URL nor a file or folder that is there", "")
        parts = urlsplit(index.url)
        if index.is_local and parts.netloc not in {"", "localhost"}:
            raise RequestError("is a file URL of another machine", "")
        is_plain = index.is_pip and parts.scheme == "http" and not re.fullmatch(_LOOPBACK, parts.hostname or "")
        if is_plain and not index.trust_env.trusts(index.url):
            raise RequestError("is plain http, and no trusted-host of pip's", "")
        self._context = ContextAhead(index.trust_env) if parts.scheme == "https" else None

    def download(self, wanted: Download) -> Received:
        """Download the wheel from where it is listed.

        Raises:
            RequestError: It is not listed, or not given.
        """
        failures: list[RequestError] = []
        for link in self.links():
            try:
                return self._with_keyring(link.url, partial(self._download, link, wanted))
            except RequestError as error:
                failures.append(error)
        raise next((error for error in failures if error.got_sha256), failures[-1])

    def _download(self, link: Link, wanted: Download) -> Received:
        trust_env, index = self._index.trust_env, urlsplit(self._index.url)
        login = index.netloc.rpartition("@")[0]
        if origin_of(link.url) != origin_of(self._index.url):  # another host gets neither this login nor a default one
            is_downgrade = urlsplit(link.url).scheme == "http" != index.scheme
            login, netrc = "", None if is_downgrade else trust_env.netrc
            trust_env = trust_env._replace(netrc_default=False, netrc=netrc)
        return download(_with_login(link.url, login), wanted, trust_env, self._context)

    def links(self) -> list[Link]:
        """Return the files that may be the wheel: that of the pinned hash or, where none is listed, of its name.

        Raises:
            RequestError: There is none, or no page that says so.
        """
        named = [*dict.fromkeys(link for link in self._listed() if _is_named(link.filename, self._pin))]
        found = [link for link in named if link.sha256 == self._pin.sha256]
        found = found or [link for link in named if link.sha256 is None]
        if not found and named:
            reason, sha256 = f"lists other bytes: sha256 {named[0].sha256}", named[0].sha256
            raise RequestError(reason, self._index.url, kind="bytes", got_sha256=sha256)
        if not found:
            raise RequestError(f"does not list {self._pin}", self._index.url, kind="missing")
        here = [link for link in found if not self._is_offline or is_file_url(link.url)]
        if not here:
            raise RequestError("names files on the network, which is switched off", self._index.url)
        return here[:MAX_TRIED]

    def _listed(self) -> list[Link]:
        if self._index.is_links and urlsplit(self._page).path.endswith(".whl"):
            return [link_to(self._page)]
        if self._index.is_local:
            return self._listed_here()
        from modelboot._network.client import HttpClient

        try:
            with HttpClient(self._limits, self._index.trust_env, self._context) as client:
                return self._with_keyring(self._page, partial(self._read_page, client))
        except RequestError as error:
            if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                reason = f"does not list {self._pin} ({error.reason})"
                raise replace(error, reason=reason) from error
            raise

    def _with_keyring(self, url: str, ask: Callable[[], T]) -> T:
        """Ask for what is at a URL, and once more with a login of the keyring, where the index itself wants one."""
        try:
            return ask()
        except RequestError as error:
            is_own = origin_of(error.url) == origin_of(url) == origin_of(self._index.url)
            login = self._login_of_keyring() if is_own and error.status == HTTPStatus.UNAUTHORIZED else None
            if login is None:
                raise
            self._index = self._index._replace(url=_with_login(self._index.url, login))
            return ask()

    def _read_page(self, client: HttpClient) -> list[Link]:
        retries, deadline = RetryBudget(min(RETRIES, self._limits.retries)), self._limits.deadline
        while True:
            try:
                with client.stream(self._page, accept=ACCEPT) as response:
                    return links_of(response, deadline)
            except RequestError as error:
                if deadline.remaining_s == 0:  # then the timer has cut the connection
                    raise RequestError(str(deadline), error.url) from error
                delay_s = retries.next_delay_s(error, deadline.remaining_s)
                if delay_s is None:
                    raise replace(error, reason=retries.describe(error)) from error
            time.sleep(delay_s)

    @property
    def _page(self) -> str:
        """The URL of the page that lists the files."""
        if self._index.is_links:
            return self._index.url
        parts, name = urlsplit(self._index.url), re.sub(r"[-_.]+", "-", self._pin.name).lower()
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}/", fragment=""))

    def _listed_here(self) -> list[Link]:
        """Return what a folder of this machine has, or a page there lists."""
        try:
            place = path_of(self._page).absolute()
            if self._index.is_links and place.is_dir():
                return [Link((place / name).as_uri(), name, None) for name in sorted(os.listdir(place))]
        except OSError as error:
            raise RequestError(error.strerror or str(error), self._page) from error
        url = self._page if self._index.is_links else urljoin(self._page, "index.html")
        try:
            with open_file(url) as response:
                return links_of(response, self._limits.deadline)
        except RequestError as error:
            if error.kind != "missing" or self._index.is_links:
                raise
            return []

    def _login_of_keyring(self) -> str | None:
        """Return "user:password" as in a URL, where a keyring has one and the URL has no password."""
        from modelboot._sources.keyring import login_for

        parts = urlsplit(self._index.url)
        if parts.password is not None:
            return None
        user = None if parts.username is None else unquote(parts.username)
        login = login_for(_with_login(self._index.url, ""), user, self._index.keyring, self._limits.deadline)
        return None if login is None else ":".join(quote(each, safe="") for each in login)


def _with_login(url: str, login: str) -> str:
    """Return a URL with a login in place of its own; with none where that is empty."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}" if login else host))


def _is_named(filename: str, pin: ModelPin) -> bool:
    """Return True if a file is, by its name, a wheel of the pin's name and version."""
    parts = filename.removesuffix(".whl").split("-")
    is_wheel = filename.endswith(".whl") and len(parts) in {5, 6}
    return is_wheel and same_name(parts[0], pin.name) and pin.accepts(parts[1])
