"""What else goes on in this process while a call does its work: other threads, and handlers of signals."""

from __future__ import annotations

import inspect
import traceback
from types import FrameType


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
