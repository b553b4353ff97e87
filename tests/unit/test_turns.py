"""Other threads and signal handlers beside a call: none waits for itself, and what a handler raises is its own."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from modelboot._turns import raise_if_from_signal


@pytest.fixture
def _limit() -> Iterator[None]:
    """Let SIGALRM raise TimeoutError, from below a handler that lets go of the signal first."""

    def reached(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        fail(frame)

    before = signal.signal(signal.SIGALRM, functools.partial(reached))
    yield
    signal.signal(signal.SIGALRM, before)


def fail(_: object) -> None:
    """Raise what is an OSError, too."""
    raise TimeoutError


def wrapped() -> None:
    """Be interrupted, and take that for a fault of one's own, as urllib3 does with a TimeoutError."""
    try:
        signal.raise_signal(signal.SIGALRM)
    except OSError as error:
        raise ValueError from error


def sort_out(work: Callable[[], None]) -> None:
    """Do some work, and raise again what a signal handler raised."""
    try:
        work()
    except (OSError, ValueError) as error:
        raise_if_from_signal(error)


@pytest.mark.usefixtures("_limit")
@pytest.mark.parametrize("work", [wrapped, lambda: signal.raise_signal(signal.SIGALRM)], ids=["wrapped", "as it is"])
def test_what_a_signal_handler_raised_is_raised_again(work: Callable[[], None]) -> None:
    """Whatever has become of its exception."""
    with pytest.raises(TimeoutError):
        sort_out(work)


@pytest.mark.usefixtures("_limit")
def test_what_no_signal_handler_raised_is_left_alone() -> None:
    """An error of the code's own is for the code to translate, also in an `except` block for what a handler raised."""

    def look() -> None:
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        fail(frame.f_lineno)

    try:
        signal.raise_signal(signal.SIGALRM)
    except TimeoutError:
        sort_out(look)
