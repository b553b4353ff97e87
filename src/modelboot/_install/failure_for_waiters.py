"""Why a download failed, saved for the processes that wait for it: they fail at once instead of trying the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from modelboot._files import read_regular_file
from modelboot._install.target import Target
from modelboot._pin import ModelPin
from modelboot._sources.source import Source, download_error
from modelboot.errors import Attempt, DownloadError


def forget_failures(target: Target, pin: ModelPin) -> None:
    """Remove what processes that failed have left for those that waited."""
    for path in (target.failure_file(pin.name), target.left_file(pin.name)):
        with suppress(OSError):  # the model is installed all the same
            if os.path.lexists(path):
                path.unlink()


def save_failure(target: Target, pin: ModelPin, sources: Sequence[Source], error: DownloadError) -> None:
    """Save why a download failed, for the processes that wait for it. Without it they find out for themselves."""
    facts = {**_key(pin, sources), "time": time.time(), "attempts": [asdict(attempt) for attempt in error.attempts]}
    path = target.failure_file(pin.name)
    with suppress(OSError):
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps(facts), "utf-8")
        part.replace(path)


def raise_failure(target: Target, pin: ModelPin, sources: Sequence[Source], waited_since: float | None) -> None:
    """Raise the failure of the process that was waited for, if it asked the same sources for the same wheel.

    Args:
        target: Where the model goes.
        pin: The wheel.
        sources: The places this process would ask.
        waited_since: When the wait began, in seconds since the epoch; None when there was none.

    Raises:
        DownloadError: The other process failed while this one waited.
    """
    if waited_since is None:
        return
    try:
        facts = json.loads(read_regular_file(target.failure_file(pin.name)))
        attempts = [Attempt(**attempt) for attempt in facts["attempts"]]
        is_mine = all(facts[key] == value for key, value in _key(pin, sources).items()) and facts["time"] > waited_since
    except (OSError, ValueError, KeyError, TypeError):
        return
    if is_mine:
        raise download_error(pin, *attempts)


def _key(pin: ModelPin, sources: Sequence[Source]) -> dict[str, object]:
    return {
        "sha256": pin.sha256,
        "sources": [[source.location(pin), source.disabled(pin)] for source in sources],
    }
