"""Attempts at a wheel that failed → the error that tells of them."""

from __future__ import annotations

from modelboot._pin import ModelPin
from modelboot.errors import Attempt, DownloadError, HashMismatchError


def failure(pin: ModelPin, *attempts: Attempt) -> DownloadError:
    """Return the error for a wheel nobody gave.

    Args:
        pin: The wheel.
        attempts: Every source that was asked, in order.

    Returns:
        A HashMismatchError when any of them gave other bytes: then somebody is to be distrusted.
    """
    error = HashMismatchError if any(attempt.got_sha256 for attempt in attempts) else DownloadError
    return error(name=pin.name, version=pin.version, sha256=pin.sha256, attempts=attempts)
