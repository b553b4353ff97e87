"""Ctrl-C at one moment of a call, and the threads it leaves; at every moment of an install: `crash`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pressed(when: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C in this process while the block runs.

    Args:
        when: Waits, in a thread of its own, for the moment to press it.
    """

    def press() -> None:
        when()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


def threads_left(wait_s: float = 10.0) -> list[str]:
    """Name the threads of modelboot that are still there after a while.

    Args:
        wait_s: How long each may take to end.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("modelboot-")]
    for thread in threads:
        thread.join(wait_s)
    return [thread.name for thread in threads if thread.is_alive()]
