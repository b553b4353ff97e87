"""Failures that are remembered for a minute: 200 tests on a dead network wait once, not 200 times."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import NamedTuple

from modelboot.errors import DownloadError, InstallError, LoadError, ModelbootError

FAILURE_TTL_S = 60.0
"""Seconds for which a failure is remembered: further calls for the same model fail at once."""


class OriginalTraceback(Exception):  # noqa: N818 - a cause to be shown, never raised
    """The traceback of the failure that is repeated, as text: it keeps no caller's variables alive."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Show it below the name of this class, as Python shows that of another process."""
        return f"\n{self.text}"


class _Failure(NamedTuple):
    """A failure that is raised again for a while, without another try."""

    error: ModelbootError
    cause: OriginalTraceback
    until_s: float
    seen: object
    """What the disk had of the model: when that changes, the failure is not raised again."""


class Failures:
    """The failures that are remembered in this process, by call."""

    def __init__(self) -> None:
        """Start with none."""
        self._by_call: dict[Hashable, _Failure] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._by_call.clear()

    @contextmanager
    def cached_failure(self, call: Hashable, look: Callable[[], object]) -> Iterator[None]:
        """Fail at once if the same call failed a moment ago; else run the block, and remember how that fails.

        Args:
            call: The calls that a failure stands for; None remembers nothing.
            look: Returns what the disk has of the model. A failure is not repeated once that has changed.

        Raises:
            DownloadError: As before. InstallError and LoadError, too; the others cost nothing to repeat.
        """
        failure = self._by_call.get(call)
        if failure is not None:
            _raise_again(failure, look)
        try:
            yield
        except (DownloadError, InstallError, LoadError) as error:
            if call is not None and not error.remembered_s:
                self._by_call[call] = _as_text(error, look())
            raise


def _raise_again(failure: _Failure, look: Callable[[], object]) -> None:
    """Raise a failure again, unless its time has passed or the disk has changed."""
    remaining_s = failure.until_s - time.monotonic()
    if remaining_s > 0 and look() == failure.seen:
        error = copy(failure.error)
        error.remembered_s = remaining_s
        raise error from failure.cause


def _as_text(error: ModelbootError, seen: object) -> _Failure:
    """Keep a failure without its traceback and its causes: their frames hold on to every variable of every caller."""
    story = OriginalTraceback("".join(traceback.format_exception(error)))
    return _Failure(copy(error), story, time.monotonic() + FAILURE_TTL_S, seen)
