"""A URL → a stream of bytes, over HTTP: one request at a time. The only module that imports urllib3."""

from __future__ import annotations

import base64
import email.utils
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import InvalidURL
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from modelboot._logins import login_for
from modelboot._proxies import proxy_for
from modelboot._trust import VARIABLES, trusted
from modelboot.errors import SettingsError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelboot._settings import Settings
    from modelboot.errors import Kind

PIECE_BYTES = 1 << 16
LOOK_UP_S = 6.0
"""Longest wait for a name server: resolvers ask a second time after 5 s, and other sources are waiting."""
MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that may be another in a moment; every other 4xx and 5xx is final."""
MOST_DIGITS = 20
"""Numbers of more digits are nonsense, and Python refuses to read those of thousands."""
CUT = (urllib3.exceptions.IncompleteRead, urllib3.exceptions.InvalidChunkLength)
PROXY_LOGIN_HINT = ": give user:password in HTTPS_PROXY"
ASK_AGAIN_WITHIN_S = 1.0
"""A name server that took longer to fail is not asked again: other sources are waiting."""
NO_ADDRESS = (urllib3.exceptions.LocationValueError, InvalidURL)
"""What urllib3 2 and 1 raise on a host that cannot be."""
PAGES = ("text/html", "application/xhtml+xml", "application/json", "application/problem+json")


@dataclass(eq=False)
class HttpError(Exception):
    """The server did not answer with a wheel."""

    reason: str
    """Why, as the end of a sentence."""
    url: str
    """Where it happened, after redirects."""
    kind: Kind = "other"
    again: bool = False
    """Whether a further try may succeed."""
    unreachable: bool = False
    """Whether there was no connection at all, so that other sources should soon get their turn."""
    restart: bool = False
    """Whether what has come so far is of no use to the next try."""
    after_s: float | None = None
    """Seconds the server asks to wait before the next try."""

    def __post_init__(self) -> None:
        """Forget the secrets of the URL: whoever prints this error, or what it led to, prints it whole."""
        self.url = without_secrets(self.url)
        self.args = (self.reason,)

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a source sends."""

    url: str
    """Where it came from in the end, after redirects."""
    pieces: Iterable[bytes]
    total_bytes: int | None = None
    """Length of the whole file as the source declares it."""
    start: int = 0
    """Offset of the first piece in the file: not 0 where the server resumes."""
    validator: str | None = None
    """What the server knows this very file by (a strong ETag, else its date), to resume it later."""
    content_type: str = ""

    @property
    def is_page(self) -> bool:
        """Whether the server says that this is text for a person or a program, which no wheel is."""
        return self.content_type.partition(";")[0].strip().lower() in PAGES


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
                yield _body(response, final_url, start)
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
            url = _redirected(url, location)
        else:
            raise HttpError(f"redirects more than {MAX_REDIRECTS} times", url)
        if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            response.close()
            raise _refused(response, url, is_resuming=bool(asked))
        return response, url

    def _ask(self, url: str, asked_url: str, asked: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send one request. Identity encoding: the hash is over the file as it lies on the server."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelboot", **asked}
        login = login_for(url, asked_url, self.settings.netrc)
        if login is not None:
            headers["Authorization"] = _basic(login)
        parts = urlsplit(url)
        proxy = proxy_for(url)
        manager = self._manager(proxy, url)
        _resolve(urlsplit(proxy or url).hostname or "", min(self.settings.timeout_s, LOOK_UP_S), url)
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


def _resolve(host: str, timeout_s: float, url: str) -> None:
    """Look a host up in a thread of its own: nothing else can put a bound on a name server that does not answer."""
    failed: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # a label beyond 63 characters is a UnicodeError
            failed.append(error)

    began_s = time.monotonic()
    thread = threading.Thread(target=look_up, name=f"modelboot-resolve-{host}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise HttpError(f"no answer from the name server for {host} within {timeout_s:g} s", url, unreachable=True)
    if failed:
        error = failed[0]
        words = error.strerror if isinstance(error, OSError) else "no host can have that name"
        passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        again = passing and time.monotonic() - began_s < ASK_AGAIN_WITHIN_S
        raise HttpError(f"{host}: {words}", url, again=again, unreachable=True) from error


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads: never from https to http, nor to anything that is not a web address."""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # brackets that do not match, a port beyond 65535
        raise HttpError(f"redirects to what is no address: {error}", url) from error
    if not is_address or parts.scheme not in {"https", urlsplit(url).scheme}:
        raise HttpError(f"redirects from {urlsplit(url).scheme} to {without_secrets(target)}", url)
    return target


def _refused(response: urllib3.BaseHTTPResponse, url: str, *, is_resuming: bool) -> HttpError:
    """Word an answer that is no file."""
    status = response.status
    reason = f"HTTP {status} {response.reason or ''}".strip()
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        reason += ": give user:password in MODELBOOT_BASE_URL or .netrc"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        reason += PROXY_LOGIN_HINT
    cannot_resume = is_resuming and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    again = status in TRANSIENT or cannot_resume
    return HttpError(reason, url, again=again, restart=cannot_resume, after_s=_retry_after_s(response))


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3); None for neither."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _body(response: urllib3.BaseHTTPResponse, url: str, asked_start: int) -> Body:
    headers = response.headers
    encoded = headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    start, total = 0, _number(headers.get("Content-Length", ""))
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        start, total = _range(headers.get("Content-Range", ""), url)
        if start != asked_start:
            raise HttpError(f"sends from byte {start:,}, asked from {asked_start:,}", url, again=True, restart=True)
        if encoded:  # what was counted is the file; what it counts is what it compressed
            raise HttpError("sends a part of the file, compressed", url, again=True, restart=True)
    return Body(
        url=url,
        pieces=_decoded(response, url) if encoded else response.stream(PIECE_BYTES, decode_content=False),
        # A server that compresses against our word declares the length of what it sends, not of the file.
        total_bytes=None if encoded else total,
        start=start,
        validator=None if encoded else _validator(headers.get("ETag", ""), headers.get("Last-Modified", "")),
        content_type=headers.get("Content-Type", ""),
    )


def _decoded(response: urllib3.BaseHTTPResponse, url: str) -> Iterator[bytes]:
    """Yield what was compressed. Only here can be told that it was cut: nobody knows the length of the file itself."""
    yield from response.stream(PIECE_BYTES, decode_content=True)
    if response.length_remaining:
        raise HttpError("cut short", url, kind="short", again=True)


def _validator(etag: str, last_modified: str) -> str | None:
    """Choose what If-Range takes: a weak ETag is not allowed there (RFC 9110, 13.1.5)."""
    if etag and not etag.startswith("W/"):
        return etag
    return last_modified or None


def _range(text: str, url: str) -> tuple[int, int | None]:
    """Read Content-Range: where the piece starts, and the length of the whole file if that is known."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = _number(span.partition("-")[0])
    if unit != "bytes" or start is None:
        raise HttpError(
            f"sends a part of the file without saying which: Content-Range {text!r}", url, again=True, restart=True
        )
    return start, _number(total)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None


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
