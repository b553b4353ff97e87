"""The threads that a call leaves when Ctrl-C has ended it; Ctrl-C at every moment of an install: `crash`."""

from __future__ import annotations

import threading


def threads_left(wait_s: float = 10.0) -> list[str]:
    """Name the threads of modelboot that are still there after a while.

    Args:
        wait_s: How long each may take to end.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("modelboot-")]
    for thread in threads:
        thread.join(wait_s)
    return [thread.name for thread in threads if thread.is_alive()]
