"""Failures that this process remembers for a minute: 200 tests on a dead network wait once, not 200 times."""

from __future__ import annotations

import time
import traceback
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import NamedTuple

from modelboot.errors import DownloadError, InstallError

FAILURE_TTL_S = 60.0
"""Seconds for which a failure is remembered: further calls for the same model fail at once."""


class OriginalTraceback(Exception):  # noqa: N818 - a cause to be shown, never raised
    """The traceback of the failure that is repeated, as text: it keeps no caller's variables alive."""

    def __str__(self) -> str:
        """Show it below the name of this class, as Python shows that of another process."""
        return f"\n{self.args[0]}"


class _Failure(NamedTuple):
    """A failure that is raised again for a while, without another try."""

    error: DownloadError | InstallError
    traceback: str
    until_s: float


_failures: dict[int, _Failure] = {}
"""By the hash of the call, which holds the settings: so no password is kept."""
forget = _failures.clear


@contextmanager
def cached_failure(call: Hashable) -> Iterator[None]:
    """Fail at once if the same call failed a moment ago; else run the block, and remember how that fails.

    Args:
        call: The calls that a failure stands for.

    Raises:
        DownloadError: As before. InstallError, too; other errors cost nothing to repeat.
    """
    now_s = time.monotonic()
    for expired in [key for key, failure in [*_failures.items()] if failure.until_s <= now_s]:
        _failures.pop(expired, None)
    if (failure := _failures.get(hash(call))) is not None:
        error = copy(failure.error)
        error.remembered_s = failure.until_s - now_s
        raise error from OriginalTraceback(failure.traceback)
    try:
        yield
    except (DownloadError, InstallError) as error:
        # Without its traceback and its causes, whose frames hold on to every variable of every caller.
        text = "".join(traceback.format_exception(error))
        _failures[hash(call)] = _Failure(copy(error), text, time.monotonic() + FAILURE_TTL_S)
        raise
