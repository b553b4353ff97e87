"""Other threads, a fork and signal handlers beside a call: who has the turn, and what is forgotten after fork.

As with lock files, a turn saves work and nothing rests on it: a thread that must not wait goes on without one. What a
forked child closes of its parent's lock files is in `_install/lock.py`.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from itertools import dropwhile, takewhile
from types import FrameType

from modelboot._deadline import Deadline
from modelboot._threads import is_importing
from modelboot.errors import ModelbootError

POLL_INTERVAL_S = 0.05
"""How often a thread that waits for a turn tries to take it."""

_owners: dict[Hashable, int] = {}
"""The thread that has the turn, by key; one that goes on without it, by key and thread.

Each operation on it is atomic, so that it needs no lock: a signal handler may enter it from the thread that is inside
it, and a forked process finds nothing locked.
"""
if hasattr(os, "register_at_fork"):
    # A turn that another thread had when the process forked would never end in the child.
    os.register_at_fork(after_in_child=_owners.clear)


@contextmanager
def turn(key: Hashable, deadline: Deadline, refusal: Callable[..., ModelbootError]) -> Iterator[None]:
    """Wait for the turn of a key, and have it during the block.

    A thread that has a turn already, or is in the middle of an import, runs the block without waiting: the other thread
    may wait for that turn or that import.

    Args:
        key: What is done in turn.
        deadline: When to give up waiting.
        refusal: Makes the error from its `reason`.

    Raises:
        ModelbootError: The thread has this very turn, or another thread still has it at the deadline.
    """
    me = threading.get_ident()
    without = (key, me)
    if me in {_owners.get(key), _owners.get(without)}:
        raise refusal(reason=f"{_asker()} asks for it inside the call that is getting it; get it before, and use that")
    may_wait = me not in _owners.values() and not is_importing(sys._getframe())  # noqa: SLF001 - documented
    try:
        while _owners.setdefault(key, me) != me:
            if not may_wait:
                _owners[without] = me
                break
            if deadline.remaining_s == 0:
                raise refusal(reason=f"another thread has been getting it for {deadline.total_s:g} s")
            time.sleep(min(POLL_INTERVAL_S, deadline.remaining_s))
        yield
    finally:
        for mine in (key, without):
            if _owners.get(mine) == me:
                _owners.pop(mine, None)


def _asker() -> str:
    """Describe the code that calls modelboot from inside another call of it."""
    stack = dropwhile(lambda each: _package(each[0]) in {"modelboot", "contextlib"}, traceback.walk_stack(None))
    asking = [*takewhile(lambda each: _package(each[0]) != "modelboot", stack)]
    if any(_is_of_handler(frame) for frame, _ in asking):
        kind = "a signal handler"
    else:
        kind = "a logging handler" if any(_package(frame) == "logging" for frame, _ in asking) else "code"
    frame, line = asking[0]
    return f"{kind} ({frame.f_code.co_name} in {frame.f_code.co_filename}, line {line})"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def raise_if_from_signal(error: BaseException) -> None:
    """Raise again what a signal handler raised, if that is what an error comes from; else return.

    To be called before an error is translated: a time limit that a handler raises is not a fault of the network, the
    disk or spaCy, and passes through unchanged, also where a library has wrapped it. The traceback tells where an
    exception came from: Python calls a handler from the code that it interrupts, and gives it the frame of that code.
    So the frame of a handler has its own caller's frame among its arguments. (What is registered at the moment says
    less: a handler may be a method or a partial, and may have been replaced since.)

    Raises:
        BaseException: What the handler raised.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    inner = error.__cause__ or error.__context__
    # Unless it was caught further out: a call in an `except` block has what that handles as its context.
    if inner is not None and inner.__traceback__ is not None and inner.__traceback__.tb_frame in frames:
        raise_if_from_signal(inner)  # first, as urllib3 raises its own error with the traceback of what it caught
    if any(map(_is_of_handler, frames[1:])):  # in the first one it was caught
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context  # not the error that it has led to


def _is_of_handler(frame: FrameType) -> bool:
    names, more, _, values = inspect.getargvalues(frame)
    arguments = [*(values.get(name) for name in names), *(values.get(more, ()) if more else ())]
    return any(argument is frame.f_back for argument in arguments if argument is not None)
