"""A host's name → whether it has an address, within a bound that no name server can outlive."""

from __future__ import annotations

import socket
import threading
import time

from modelboot._network.response import HttpError

LOOK_UP_S = 6.0
"""Longest wait for a name server: resolvers ask a second time after 5 s, and other sources are waiting."""
ASK_AGAIN_WITHIN_S = 1.0
"""A name server that took longer to fail is not asked again: other sources are waiting."""


def look_up(host: str, timeout_s: float, url: str) -> None:
    """Look a host up, in a thread of its own: nothing else can put a bound on a name server that does not answer.

    Args:
        host: Its name or address.
        timeout_s: Seconds to wait, which are not taken to the full.
        url: What the host is wanted for, for the error.

    Raises:
        HttpError: It has no address, or there was no answer in time.
    """
    timeout_s = min(timeout_s, LOOK_UP_S)
    failed: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # a label beyond 63 characters is a UnicodeError
            failed.append(error)

    began_s = time.monotonic()
    thread = threading.Thread(target=ask, name=f"modelboot-resolve-{host}", daemon=True)
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
