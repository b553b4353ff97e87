"""Connections under one deadline: limits for DNS and for connecting, and a timer that ends what lasts too long."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from modelboot._deadline import Limits
from modelboot._network.response import RequestError
from modelboot._threads import background
from modelboot._turns import raise_if_from_signal

if TYPE_CHECKING:
    from typing_extensions import Self

DNS_TIMEOUT_S = 6.0
"""Longest wait for a DNS server: resolvers ask a second time after 5 s, and other sources are waiting."""
CONNECT_TIMEOUT_S = 8.0
"""Longest wait for a connection, over all addresses of a host: other sources are waiting."""

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""What `socket.getaddrinfo` returns for one address."""


class Connections:
    """Opens connections, and shuts all of them down when the deadline passes, whatever reads from them."""

    def __init__(self, limits: Limits) -> None:
        """Open nothing yet.

        Args:
            limits: The timeout of each attempt and the deadline for all of them.
        """
        self._limits = limits
        self._sockets: list[socket.socket] = []
        self._is_shut_down = False
        self._timer = background(threading.Timer(limits.deadline.remaining_s, self.shutdown), "deadline")

    def __enter__(self) -> Self:
        try:
            _start(self._timer)
        except BaseException:  # Ctrl-C while it is being started
            self._timer.cancel()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.close()

    def shutdown(self) -> None:
        """End every connection, now and to come: a reader of one gets an error."""
        self._is_shut_down = True
        for connection in self._sockets:
            _shutdown(connection)

    def close(self) -> None:
        """Let go of the connections, which their users close."""
        while self._sockets:
            self._sockets.pop().close()

    def connect(self, host: str, port: int, prefix: str) -> socket.socket:
        """Connect to the first address of a host that answers; each has its share of the time there is for all.

        Args:
            host: Its name or address.
            port: The port.
            prefix: What the reason of a failure begins with.

        Raises:
            RequestError: No address takes a connection in time.
        """
        limits, failure = self._limits, OSError()
        addresses = resolve(host, port, min(limits.timeout_s, limits.deadline.remaining_s))
        timeout_s = min(limits.timeout_s, CONNECT_TIMEOUT_S, limits.deadline.remaining_s)
        started_s = time.monotonic()
        for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(max(0.001, (started_s + timeout_s - time.monotonic()) / left))
                connection.connect(address)
                connection.settimeout(limits.timeout_s)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._note(connection)
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError):
                    raise
                raise_if_from_signal(error)
                failure = error
            else:
                return connection
        if isinstance(failure, TimeoutError):
            raise RequestError(f"{prefix}no connection within {timeout_s:g} s", "") from failure
        took_s, reason = time.monotonic() - started_s, f"{prefix}{failure.strerror or failure}"
        raise RequestError(reason, "", unreachable_after_s=took_s) from failure

    def _note(self, connection: socket.socket) -> None:
        """Keep a descriptor of our own, on which `shutdown` may act while a TLS layer uses the other one."""
        self._sockets.append(connection.dup())
        if self._is_shut_down:
            _shutdown(connection)


def resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    """Resolve a host in a thread of its own: nothing else limits the wait for a DNS server that does not answer.

    Args:
        host: Its name or address.
        port: The port to connect to.
        timeout_s: Seconds to wait, at most `DNS_TIMEOUT_S` of them.

    Returns:
        Its addresses, in the order in which they are to be tried; at least one.

    Raises:
        RequestError: It has none, or there was no answer in time.
    """
    timeout_s = min(timeout_s, DNS_TIMEOUT_S)
    found: list[Address] = []
    failed: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # a label beyond 63 characters is a UnicodeError
            failed.append(error)

    started_s = time.monotonic()
    thread = background(threading.Thread(target=ask), f"resolve-{host}")
    _start(thread)
    thread.join(timeout_s)
    if thread.is_alive():
        raise RequestError(f"no answer from the DNS server for {host} within {timeout_s:g} s", "")
    if failed:
        error = failed[0]
        words = error.strerror if isinstance(error, OSError) else "invalid host name"
        is_temporary = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        took_s = time.monotonic() - started_s if is_temporary else None
        raise RequestError(f"{host}: {words}", "", unreachable_after_s=took_s) from error
    return found


def _start(thread: threading.Thread) -> None:
    """Start a thread; where the system allows no more of them, that is why a request failed."""
    try:
        thread.start()
    except RuntimeError as error:
        raise RequestError(f"{error}: too many processes or threads", "") from error


def _shutdown(connection: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)
