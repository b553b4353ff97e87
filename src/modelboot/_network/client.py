"""One HTTP request at a time: connection pools, redirects, and what failed in words.

The only module that imports urllib3.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from modelboot._deadline import Limits
from modelboot._network.connections import Connections
from modelboot._network.response import (
    PROXY_LOGIN_HINT,
    RequestError,
    Response,
    error_for_status,
    parse_response,
    redirect_target,
)
from modelboot._network.trust_env import (
    CA_VARIABLES,
    TrustEnv,
    authorization_for,
    basic,
    proxy_for,
    ssl_context,
    unverified_context,
)
from modelboot._redact import printable, without_secrets
from modelboot._turns import raise_if_from_signal
from modelboot.errors import SettingsError

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
WHEEL = "application/octet-stream"
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "modelboot"}
INVALID_HOST = (urllib3.exceptions.LocationValueError, http.client.InvalidURL)
"""What urllib3 2 and 1 raise on a host that cannot exist."""


class HttpClient:
    """Requests under one deadline, which ends every wait of theirs."""

    def __init__(
        self, limits: Limits, trust_env: TrustEnv, context: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            limits: The timeout of each attempt and the deadline for all of them.
            trust_env: The user's .netrc and CA bundle.
            context: Returns the TLS context, for a caller that has it made meanwhile; made when needed without.
        """
        self._limits, self._trust_env = limits, trust_env
        self._context = context or partial(ssl_context, trust_env)
        self._pools: dict[tuple[str | None, bool, bool], urllib3.PoolManager] = {}
        self.connections = Connections(limits)

    def __enter__(self) -> Self:
        self.connections.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.connections.__exit__()
        for pool in self._pools.values():
            pool.clear()

    @contextmanager
    def stream(
        self, url: str, *, accept: str = WHEEL, start: int = 0, validator: str | None = None
    ) -> Iterator[Response]:
        """Request a file and yield the response, whose body is read inside the with block.

        Args:
            url: http or https URL; may carry user:password, which goes to that host only.
            accept: The types of content that can be used.
            start: Offset to resume at.
            validator: `Response.validator` of the file whose beginning is here.

        Yields:
            The response. It may start at 0 although `start` is not 0: then the server does not resume, or has another
            file now.

        Raises:
            RequestError: No connection, or no file. To read the body raises it where that breaks off.
        """
        resume = {"Range": f"bytes={start}-", **({"If-Range": validator} if validator else {})} if start else {}
        response, final_url = self._follow_redirects(url, {"Accept": accept, **resume})
        try:
            found = parse_response(response, final_url, start)
            yield found._replace(read=lambda most_bytes: self._translated(final_url, partial(found.read, most_bytes)))
        finally:
            response.close()
            self.connections.close()

    def _follow_redirects(self, first_url: str, headers: dict[str, str]) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Return the response that has the file, and its URL."""
        url = first_url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(url, first_url, headers)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or not location:
                break
            response.close()
            url = redirect_target(url, location)
        else:
            raise RequestError(f"redirects more than {MAX_REDIRECTS} times", url)
        if response.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            response.close()
            raise error_for_status(response, url, is_resuming="Range" in headers)
        return response, url

    def _send(self, url: str, first_url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Send one request.

        No compression is asked for: the hash is that of the file as the server stores it. Some hosts of private
        releases send JSON about the file unless `Accept` asks for application/octet-stream.
        """
        headers = {**_HEADERS, **headers}
        authorization = authorization_for(url, first_url, self._trust_env)
        if authorization is not None:
            headers["Authorization"] = authorization
        parts = urlsplit(url)
        request = partial(
            self._pool(proxy_for(url, self._trust_env), url).request,
            "GET",
            urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, "")),
            headers=headers,
            preload_content=False,
            decode_content=False,  # parse_response refuses what is compressed
            redirect=False,
            enforce_content_length=False,  # the reader of the body counts it
        )
        return self._translated(url, request)

    def _translated(self, url: str, call: Callable[[], T]) -> T:
        """Make one call of urllib3's, and say in words why it fails.

        Nothing else goes on in it: what the reader of a body does with it, and a signal handler, have their own errors.
        """
        try:
            return call()
        except RequestError as error:  # of a connection, which knows no URL
            error.url = error.url or printable(without_secrets(url))
            raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise_if_from_signal(error)
            if any(isinstance(cause, INVALID_HOST) for cause in _causes(error)):
                raise RequestError("is not a valid host name", url) from None  # the cause quotes the query
            _make_printable(error)
            raise _describe(error, url, self._limits.timeout_s) from error

    def _pool(self, proxy: str | None, url: str) -> urllib3.PoolManager:
        is_tls = any(address.lower().startswith("https:") for address in (url, proxy or ""))
        key = proxy, is_tls, urlsplit(url).scheme == "https" and self._trust_env.trusts(url)
        if key not in self._pools:
            try:
                self._pools[key] = self._new_pool(proxy, is_tls=is_tls, is_trusted=key[-1])
            except ValueError as error:  # socks, a port that is not a number
                if proxy is None or isinstance(error, SettingsError):
                    raise
                reason = f"the proxy {without_secrets(proxy)} is not an http or https URL"
                raise RequestError(reason, url) from None  # the cause may show its password
        return self._pools[key]

    def _new_pool(self, proxy: str | None, *, is_tls: bool, is_trusted: bool) -> urllib3.PoolManager:
        # To read all certificates of a system takes 20 ms, which a mirror within an organisation often needs none of.
        context = self._context() if is_tls else None
        if context and not hasattr(urllib3, "BaseHTTPResponse"):  # urllib3 1 compares names itself, as for addresses
            context.check_hostname = False
        options: dict[str, Any] = {"timeout": self._limits.timeout_s, "retries": False, "ssl_context": context}
        if is_trusted:  # the certificate of an https proxy is checked all the same
            options |= {"ssl_context": unverified_context(self._trust_env), "cert_reqs": "CERT_NONE"}
        if proxy is None:
            pool = urllib3.PoolManager(**options)
        else:
            parts = urlsplit(proxy)
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username is not None else None
            pool = urllib3.ProxyManager(
                urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", "")),
                proxy_headers={"Proxy-Authorization": basic(login)} if login else None,
                proxy_ssl_context=context,
                **options,
            )
        pool.pool_classes_by_scheme = self._pool_classes(is_proxy=proxy is not None)
        return pool

    def _pool_classes(self, *, is_proxy: bool) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        """Make urllib3 connect through `Connections`: below TLS, so that a handshake can be cut short, too."""
        connections, prefix = self.connections, "proxy: " if is_proxy else ""

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connections.connect(self.host, self.port, prefix)

        class Tls(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connections.connect(self.host, self.port, prefix)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Tls

            def _validate_conn(self, conn: Any) -> None:  # noqa: ANN401 - it has other names in urllib3 1 and 2
                """Connect, and warn of no certificate that is not checked: pip's trusted-host asks for that."""
                if not getattr(conn, "sock", None):
                    conn.connect()

        return {"http": PlainPool, "https": TlsPool}


def _describe(error: BaseException, url: str, timeout_s: float) -> RequestError:
    """Say in a few words why a request failed; urllib3's own text is its whole call stack in one line."""
    causes = [*_causes(error)]
    untrusted = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        why = getattr(untrusted, "verify_message", "Hostname mismatch")  # urllib3 1 compares the name itself
        reason = f"certificate of {urlsplit(url).hostname} not accepted ({why}); to trust its CA set {CA_VARIABLES}"
        return RequestError(reason, url, kind="certificate")
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return RequestError(f"no byte for {timeout_s:g} s", url, broken=True)
    if any(isinstance(cause, http.client.IncompleteRead) for cause in causes):  # urllib3 has subclasses of it
        return RequestError("cut short", url, kind="short", broken=True)
    reason = _root_cause(error, causes)
    if isinstance(error, urllib3.exceptions.ProxyError):
        answered = "Tunnel connection failed" in reason
        if any(f"Tunnel connection failed: {status}" in reason for status in (401, 407)):  # tinyproxy says 401
            return RequestError(f"proxy: {reason}{PROXY_LOGIN_HINT}", url, kind="auth")
        return RequestError(f"proxy: {reason}", url, broken=not answered)
    return RequestError(reason, url, broken=True)


def _make_printable(error: BaseException) -> None:
    """Take control characters out of what a traceback shows of the causes: a status line is quoted there as it came."""
    for cause in _causes(error):
        cause.args = tuple(printable(arg) if isinstance(arg, str) else arg for arg in cause.args)


def _root_cause(error: BaseException, causes: list[BaseException]) -> str:
    roots = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    inner = [str(arg) for arg in error.args if isinstance(arg, BaseException)]
    return [str(error), *inner, *roots][-1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything it came from; urllib3 keeps some causes only as an argument.

    Not what the caller was handling when it called: that is none of the request's.
    """
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        error = inner[-1] if inner else error.__cause__
