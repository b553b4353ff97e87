"""What else goes on in this process while a call does its work: other threads, and handlers of signals."""

from __future__ import annotations

import sys
from types import FrameType


def raise_if_from_signal(error: BaseException) -> None:
    """Raise again what a signal handler raised, if that is what an error comes from; else return.

    To be called before an error is translated: a time limit that a handler raises is not a fault of the network, the
    disk or spaCy, and passes through unchanged, also where a library has wrapped it. The traceback tells where an
    exception came from: Python calls a handler from the code that it interrupts, and gives it the frame of that code.
    So the frame of a handler has its own caller's frame among its arguments. (What is registered at the moment says
    less: a handler may be a method or a partial, and may have been replaced since.) A library may raise an error of its
    own with the traceback of what it caught, so of several that passed a handler's frame the first one raised is meant;
    what the caller was handling before it called is none of them.

    Raises:
        BaseException: What the handler raised.
    """
    import traceback

    running = {frame for frame, _ in traceback.walk_stack(sys._getframe(2))}  # noqa: SLF001 - documented
    seen: list[BaseException] = []
    raised: BaseException | None = None
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
        if seen and not running.isdisjoint(frames[:1]):
            break
        if any(map(_is_of_handler, frames[1:])):  # the first frame is where it was caught
            raised = cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    if raised is not None:
        context = raised.__context__
        try:
            raise raised
        finally:
            raised.__context__ = context  # not what it has become meanwhile


def _is_of_handler(frame: FrameType) -> bool:
    import inspect

    names, more, _, values = inspect.getargvalues(frame)
    arguments = [*(values.get(name) for name in names), *(values.get(more, ()) if more else ())]
    return any(argument is frame.f_back for argument in arguments if argument is not None)
