"""A URL → a stream of bytes, over HTTP: one request at a time. The only module that imports urllib3."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import InvalidURL
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from modelboot._network.hosts import look_up
from modelboot._network.response import PROXY_LOGIN_HINT, Body, HttpError, body, redirected, refusal
from modelboot._network.trust_env import VARIABLES, login_for, proxy_for, trusted
from modelboot._settings import Settings
from modelboot.errors import SettingsError, without_secrets

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CUT = (urllib3.exceptions.IncompleteRead, urllib3.exceptions.InvalidChunkLength)
NO_ADDRESS = (urllib3.exceptions.LocationValueError, InvalidURL)
"""What urllib3 2 and 1 raise on a host that cannot be."""


@dataclass(slots=True)
class Client:
    """Connections for one transfer, which another thread can cut."""

    settings: Settings
    sockets: list[socket.socket] = field(default_factory=list)
    cancelled: bool = False
    managers: dict[str | None, urllib3.PoolManager] = field(default_factory=dict)

    def cancel(self) -> None:
        """Cut every connection, now and to come: whoever reads from one gets an error."""
        self.cancelled = True
        for connected in self.sockets:
            _cut(connected)

    def close(self) -> None:
        """Close every connection."""
        for manager in self.managers.values():
            manager.clear()

    @contextmanager
    def opened(self, url: str, *, start: int = 0, validator: str | None = None) -> Iterator[Body]:
        """Ask for a file and yield its body as it comes in.

        Args:
            url: http or https URL; may carry user:password, which goes to that host only.
            start: Offset to resume at.
            validator: `Body.validator` of the file whose beginning is here.

        Yields:
            The body, to be read inside the with block. It may start at 0 although `start` is not 0: then the server
            does not resume, or has another file now.

        Raises:
            HttpError: No connection, no file, or the body broke off: also while it is read inside the block.
        """
        asked = {"Range": f"bytes={start}-", **({"If-Range": validator} if validator else {})} if start else {}
        response, final_url = self._follow(url, asked)
        with _worded(final_url, self.settings.timeout_s):
            try:
                yield body(response, final_url, start)
            finally:
                response.close()

    def _follow(self, asked_url: str, asked: dict[str, str]) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Ask for the wheel, following redirects, and return the answer that carries it with its URL."""
        url = asked_url
        for _ in range(MAX_REDIRECTS + 1):
            with _worded(url, self.settings.timeout_s):
                response = self._ask(url, asked_url, asked)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or not location:
                break
            response.close()
            url = redirected(url, location)
        else:
            raise HttpError(f"redirects more than {MAX_REDIRECTS} times", url)
        if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            response.close()
            raise refusal(response, url, is_resuming=bool(asked))
        return response, url

    def _ask(self, url: str, asked_url: str, asked: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send one request. Identity encoding: the hash is over the file as it lies on the server."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelboot", **asked}
        login = login_for(url, asked_url, self.settings.trust_env.netrc)
        if login is not None:
            headers["Authorization"] = _basic(login)
        parts = urlsplit(url)
        proxy = proxy_for(url)
        manager = self._manager(proxy, url)
        look_up(urlsplit(proxy or url).hostname or "", self.settings.timeout_s, url)
        bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        return manager.request(
            "GET",
            bare,
            headers=headers,
            preload_content=False,
            redirect=False,
            enforce_content_length=False,  # a short body is counted and told by who reads it
        )

    def _manager(self, proxy: str | None, url: str) -> urllib3.PoolManager:
        if proxy not in self.managers:
            try:
                self.managers[proxy] = _manager(self.settings, proxy, self._connected)
            except ValueError as error:  # socks, a port that is no number
                if proxy is None or isinstance(error, SettingsError):
                    raise
                reason = f"the proxy {without_secrets(proxy)} is no http or https address"
                raise HttpError(reason, url) from None  # the cause may show its password
        return self.managers[proxy]

    def _connected(self, connected: socket.socket) -> None:
        """Take note of a connection; one that came about too late is cut at once."""
        self.sockets.append(connected)
        if self.cancelled:
            _cut(connected)


def _manager(settings: Settings, proxy: str | None, on_connect: Callable[[socket.socket], None]) -> urllib3.PoolManager:
    """Make a pool of connections that hands their sockets out."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            on_connect(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            on_connect(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Tls

    timeout = urllib3.Timeout(connect=settings.timeout_s, read=settings.timeout_s)
    context = trusted(settings)
    if proxy is None:
        manager = urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=context)
    else:
        parts = urlsplit(proxy)
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username is not None else None
        manager = urllib3.ProxyManager(
            urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", "")),
            proxy_headers={"Proxy-Authorization": _basic(login)} if login else None,
            timeout=timeout,
            retries=False,
            ssl_context=context,
            proxy_ssl_context=context,
        )
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return manager


def _basic(login: str) -> str:
    """Word a login as RFC 7617 does. UTF-8, as curl and browsers send it: urllib3 raises beyond Latin-1."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _cut(connected: socket.socket) -> None:
    # Past any TLS layer, which is not made to be used by two threads; one that is closed is as good.
    try:
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except (OSError, ValueError):
        return


@contextmanager
def _worded(url: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if any(isinstance(cause, NO_ADDRESS) for cause in _causes(error)):
            raise HttpError("is no address", url) from None  # the cause quotes the query
        raise _in_words(error, url, timeout_s) from error


def _in_words(error: BaseException, url: str, timeout_s: float) -> HttpError:
    """Say in a few words why a connection failed; urllib3's own text is its whole call stack in one line."""
    causes = [*_causes(error)]
    host = urlsplit(url).hostname
    untrusted = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        why = untrusted.verify_message or untrusted.reason
        return HttpError(
            f"certificate of {host} not accepted ({why}); to trust its CA set {VARIABLES}", url, kind="certificate"
        )
    refused = any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:  # urllib3 2 counts both as one
        return HttpError(f"no connection within {timeout_s:g} s", url, unreachable=True)
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return HttpError(f"no byte for {timeout_s:g} s", url, again=True)
    if "prematurely" in str(error) or any(isinstance(cause, CUT) for cause in causes):  # as urllib3 2 and 1 say it
        return HttpError("cut short", url, kind="short", again=True)
    reason = _last_words(error, causes)
    if isinstance(error, urllib3.exceptions.ProxyError):
        answered = "Tunnel connection failed" in reason
        if any(f"Tunnel connection failed: {status}" in reason for status in (401, 407)):  # tinyproxy says 401
            reason += PROXY_LOGIN_HINT
        return HttpError(f"proxy: {reason}", url, again=not answered, unreachable=not answered)
    return HttpError(reason, url, again=True, unreachable=refused)


def _last_words(error: BaseException, causes: list[BaseException]) -> str:
    roots = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    plain = [str(cause) for cause in causes if isinstance(cause, OSError) and cause.args and not cause.strerror]
    inner = [str(arg) for arg in error.args if isinstance(arg, BaseException)]
    return [str(error), *inner, *plain, *roots][-1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything it came from; urllib3 keeps some causes only as an argument."""
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        error = inner[-1] if inner else error.__cause__ or error.__context__
