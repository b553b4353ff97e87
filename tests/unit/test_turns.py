"""Other threads and signal handlers beside a call: none waits for itself, and what a handler raises is its own."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from modelboot._turns import raise_if_from_signal


class SoftTimeLimitExceeded(Exception):  # noqa: N818 - so a task queue calls it
    """What a task queue raises in a task that takes too long."""


class Limit:
    """Raises from a method, as task queues do, and only once."""

    def reached(self, number: int, _: FrameType | None) -> None:
        """Raise, and let go of the signal."""
        signal.signal(number, signal.SIG_DFL)
        raise SoftTimeLimitExceeded


def reached(_: int, __: FrameType | None) -> None:
    """Raise what is an OSError, too."""
    raise TimeoutError


def reached_anyhow(*arguments: object) -> None:
    """Raise from below the handler."""
    raise_timeout(arguments)


def raise_timeout(_: object) -> None:
    """Raise what a handler further up has called for."""
    raise TimeoutError


def interrupted() -> None:
    """Be interrupted in this line."""
    os.kill(os.getpid(), signal.SIGUSR1)


def wrapped() -> None:
    """Be interrupted, and take that for a fault of one's own, as urllib3 does with a TimeoutError."""
    try:
        interrupted()
    except Exception as error:
        raise ValueError from error


def wrapped_with_its_traceback() -> None:
    """Take it for a fault of one's own, and say that it happened in the same place, as urllib3 does without retries."""
    try:
        interrupted()
    except Exception as error:  # noqa: BLE001 - whatever the handler raised
        raise ValueError.with_traceback(ValueError(), error.__traceback__)  # noqa: B904


def judge(work: Callable[[], None]) -> None:
    """Do some work, and sort out how it fails."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it has become
        raise_if_from_signal(error)


@pytest.mark.parametrize("work", [interrupted, wrapped, wrapped_with_its_traceback])
@pytest.mark.parametrize(
    "handler", [reached, reached_anyhow, Limit().reached, functools.partial(lambda *_: raise_timeout(_), "partial")]
)
def test_what_a_signal_handler_raised_is_told_apart(handler: Callable[..., None], work: Callable[[], None]) -> None:
    """It is raised again, whatever kind of function the handler is and whatever has become of its exception."""
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises((TimeoutError, SoftTimeLimitExceeded)) as passed:
            judge(lambda: judge(work))
        assert passed.value.__context__ is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_no_signal_handler_raised_is_left_alone() -> None:
    """An error of the code's own, also of one that looks at its caller's frame, is for the code to translate."""

    def look() -> None:
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        raise OSError(frame.f_lineno)

    judge(look)
    judge(lambda: raise_timeout(1))


def test_what_a_signal_handler_raised_before_the_call() -> None:
    """A caller that tries something else after a time limit has the errors of that, whatever it was handling."""
    before = signal.signal(signal.SIGUSR1, reached)
    try:
        interrupted()
    except TimeoutError:
        judge(lambda: raise_timeout(1))
    finally:
        signal.signal(signal.SIGUSR1, before)
