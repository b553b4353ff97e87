"""A URL → a stream of bytes, over HTTP. The only module that imports urllib3."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from modelboot.errors import without_secrets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from modelboot._settings import Settings

PIECE_BYTES = 1 << 16
MAX_REDIRECTS = 10
CUT = (urllib3.exceptions.IncompleteRead, urllib3.exceptions.InvalidChunkLength)
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpError(Exception):
    """The server did not answer with a wheel; the text is the reason, as the end of a sentence."""

    def __init__(self, reason: str, url: str) -> None:
        """Keep the reason and the URL it happened at, after redirects."""
        super().__init__(reason)
        self.url = url


@dataclass(frozen=True, slots=True)
class Body:
    """What a source sends."""

    url: str
    """Where it came from in the end, after redirects."""
    pieces: Iterable[bytes]
    declared_bytes: int | None
    """Length the source declares, in bytes."""


@contextmanager
def opened(url: str, settings: Settings, on_connect: Callable[[socket.socket], None]) -> Iterator[Body]:
    """Ask for a file and yield its body as it comes in.

    Args:
        url: http or https URL; may carry user:password, which goes to that host only.
        settings: The settings in force.
        on_connect: Is handed every connection's socket, so that another thread can cut it.

    Yields:
        The body; it is to be read inside the with block.

    Raises:
        HttpError: No connection, no file, or the body broke off: also while it is read inside the block.
    """
    with _client(settings, on_connect) as client:
        try:
            response, final_url = _follow(client, url)
            try:
                pieces = response.stream(PIECE_BYTES, decode_content=False)
                yield Body(final_url, pieces, _declared_bytes(response))
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise HttpError(_in_words(error, settings.timeout_s), url) from error


@contextmanager
def _client(settings: Settings, on_connect: Callable[[socket.socket], None]) -> Iterator[urllib3.PoolManager]:
    """Make a client that hands every connection's socket out, so that another thread can cut it."""

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
    client = urllib3.PoolManager(timeout=timeout, retries=False)
    client.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    try:
        yield client
    finally:
        client.clear()


def _follow(client: urllib3.PoolManager, asked_url: str) -> tuple[urllib3.BaseHTTPResponse, str]:
    """Ask for the wheel, following redirects, and return the answer that carries it with its URL."""
    url = asked_url
    for _ in range(MAX_REDIRECTS + 1):
        response = _ask(client, url, asked_url)
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            break
        response.close()
        url = _redirected(url, location)
    else:
        raise HttpError(f"redirects more than {MAX_REDIRECTS} times", url)
    if response.status != HTTPStatus.OK:
        response.close()
        raise HttpError(f"HTTP {response.status} {response.reason or ''}".strip(), url)
    return response, url


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


def _ask(client: urllib3.PoolManager, url: str, asked_url: str) -> urllib3.BaseHTTPResponse:
    """Send one request. Identity encoding: the hash is over the file as it lies on the server."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "modelboot"}
    parts, asked = urlsplit(url), urlsplit(asked_url)
    same_host = (parts.scheme, parts.hostname, parts.port) == (asked.scheme, asked.hostname, asked.port)
    if asked.username is not None and same_host:
        login = f"{unquote(asked.username)}:{unquote(asked.password or '')}"
        headers.update(urllib3.make_headers(basic_auth=login))
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return client.request(
        "GET",
        bare,
        headers=headers,
        preload_content=False,
        redirect=False,
        enforce_content_length=False,  # a short body is counted and told by who reads it
    )


def _declared_bytes(response: urllib3.BaseHTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _in_words(error: BaseException, timeout_s: float) -> str:
    """Say in a few words why a connection failed; urllib3's own text is its whole call stack in one line."""
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # urllib3 2 counts it among the time-outs
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:
        return f"no connection within {timeout_s:g} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no byte for {timeout_s:g} s"
    if "prematurely" in str(error) or any(isinstance(cause, CUT) for cause in _causes(error)):  # as urllib3 2, 1 say it
        return "cut short"
    roots = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    inner = [str(arg) for arg in error.args if isinstance(arg, BaseException)]
    return [str(error), *inner, *roots][-1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything it came from; urllib3 keeps some causes only as an argument."""
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        error = inner[-1] if inner else error.__cause__ or error.__context__
