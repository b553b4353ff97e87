"""Turns among the threads of this process: one at a time for each key, without waiting for ever or for oneself.

As with lock files, a turn saves work and nothing rests on it: a thread whose wait could never end goes on without one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from modelboot._deadline import Deadline
from modelboot._threads import IMPORT_SYSTEM, is_importing
from modelboot.errors import LoadError

POLL_INTERVAL_S = 0.05
"""How often a thread that waits looks whether its wait can still end."""


class KeyedLock:
    """One turn at a time for each key. The thread that has one may ask again and does not wait for itself."""

    def __init__(self) -> None:
        """Start with no turn taken, in this process and in each that is forked from it."""
        self._start()
        if hasattr(os, "register_at_fork"):
            # A turn that another thread had when the process forked would never end in the child.
            os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._owners: dict[Hashable, int] = {}
        self._waiting: dict[int, Hashable] = {}

    @contextmanager
    def turn(self, key: Hashable, model: str, deadline: Deadline) -> Iterator[None]:
        """Wait for the turn of a key and have it during the block.

        Args:
            key: What is done in turn.
            model: Name and version of the model, for the error.
            deadline: When to give up waiting.

        Raises:
            LoadError: Another thread still has the turn at the deadline.
        """
        taken = self._take(key, model, deadline)
        try:
            yield
        finally:
            if taken:
                self._release(key)

    def _take(self, key: Hashable, model: str, deadline: Deadline) -> bool:
        """Wait for a turn; False where the block runs without a new one: it has one, or would wait for ever."""
        me = threading.get_ident()
        with self._changed:
            try:
                while self._owners.get(key, me) != me:
                    self._waiting[me] = key
                    if self._would_deadlock(key, me):
                        return False
                    if deadline.remaining_s == 0:
                        reason = f"another thread has been loading it for {deadline.total_s:g} s"
                        raise LoadError(model=model, reason=reason)
                    self._changed.wait(min(POLL_INTERVAL_S, deadline.remaining_s))
            finally:
                self._waiting.pop(me, None)
            is_new = key not in self._owners
            self._owners[key] = me
            return is_new

    def _release(self, key: Hashable) -> None:
        with self._changed:
            self._owners.pop(key, None)  # gone in a child that was forked meanwhile
            self._changed.notify_all()

    def _would_deadlock(self, key: Hashable, me: int) -> bool:
        """Return True if the thread with the turn waits for this one: for one of its turns, or for what it imports."""
        owner, seen = self._owners[key], {me}
        while owner not in seen:
            seen.add(owner)
            if owner not in self._waiting:
                return is_importing(sys._getframe()) and _waits_for_import(owner)  # noqa: SLF001 - documented
            owner = self._owners.get(self._waiting[owner], owner)
        return owner == me


def _waits_for_import(thread: int) -> bool:
    """Return True if a thread waits right now for a module that another thread imports."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to see it
    return frame is not None and frame.f_code.co_filename == IMPORT_SYSTEM and frame.f_code.co_name == "acquire"
