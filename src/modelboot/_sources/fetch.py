"""The three sources of a wheel, in order: wheelhouse, release or mirror, package index (through pip)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from modelboot._files import sha256_of
from modelboot._limits import Deadline
from modelboot._network.download import Job, fetch
from modelboot._pin import ModelPin
from modelboot._progress import Progress
from modelboot._settings import Settings
from modelboot._sources.pip import pip_download
from modelboot._sources.source import failure
from modelboot.errors import Attempt, DownloadError, OfflineError, without_secrets

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified wheel and how it came."""

    path: Path
    source: Literal["wheelhouse", "release", "index"]
    received_bytes: int
    """Bytes that came over the network; 0 for a wheelhouse or a file URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A wheel to be got, and the terms."""

    pin: ModelPin
    folder: Path
    """Where the wheel is put; also scratch space."""
    settings: Settings
    deadline: Deadline
    progress: Progress

    @property
    def wheel(self) -> Path:
        """Where the verified wheel appears; the name says which, should only a part of it be left."""
        return self.folder / f"{self.pin.sha256}.whl"

    def fetch(self, source: Literal["wheelhouse", "release", "mirror", "index"], url: str) -> int:
        """Fetch from one URL; see `modelboot._network.download.fetch`."""
        job = Job(pin=self.pin, source=source, url=url, to=self.wheel)
        return fetch(job, self.settings, self.deadline, self.progress)


def get_wheel(order: Order) -> Delivery:
    """Get the pinned wheel from the first source that has it.

    Args:
        order: What to get, where to put it, and by when.

    Returns:
        The verified wheel.

    Raises:
        HashMismatchError: No source has it, and one gave other bytes.
        DownloadError: No source has it; each is named with its reason.
        OfflineError: No wheelhouse has it and the network is switched off.
        InstallError: It cannot be written.
    """
    attempts: list[Attempt] = []
    for source in _in_order(order):
        try:
            delivery = source(order)
        except DownloadError as error:
            _warn_of_wrong_bytes(order.pin, error.attempts)
            attempts += error.attempts
        else:
            for attempt in attempts:
                _log.info("%s: %s", order.pin, attempt)
            return delivery
    raise _nothing_found(order, tuple(attempts))


def _warn_of_wrong_bytes(pin: ModelPin, attempts: Iterable[Attempt]) -> None:
    """Log wrong bytes as a warning even when the next source serves: somebody gives them out under this name."""
    for attempt in attempts:
        if attempt.got_sha256:
            _log.warning("%s: expected sha256 %s: %s", pin, pin.sha256, attempt)


def _in_order(order: Order) -> Iterator[Callable[[Order], Delivery]]:
    """Yield the sources that may be asked."""
    settings = order.settings
    if settings.wheelhouse:
        yield _from_wheelhouse
    if not settings.offline or urlsplit(release_url(order.pin, settings)).scheme == "file":
        yield _from_release
    if settings.index and not settings.offline:
        yield _from_index


def _from_wheelhouse(order: Order) -> Delivery:
    """Take the file of the pinned name or, failing that, any wheel whose hash matches."""
    attempts: list[Attempt] = []
    for path in chain(_named(order), _of_that_hash(order)):
        try:
            order.fetch("wheelhouse", path.as_uri())
        except DownloadError as error:
            attempts += error.attempts
            continue
        _warn_of_wrong_bytes(order.pin, attempts)
        return Delivery(path=order.wheel, source="wheelhouse", received_bytes=0)
    if not attempts:
        where = os.pathsep.join(map(str, order.settings.wheelhouse))
        reason = f"no {order.pin.filename} and no wheel of that hash"
        attempts.append(Attempt(source="wheelhouse", where=where, reason=reason))
    raise failure(order.pin, *attempts)


def _named(order: Order) -> Iterator[Path]:
    """Yield the files of the pinned name: in a wheelhouse itself, and where the release tree would have them."""
    for folder in order.settings.wheelhouse:
        for path in (folder / order.pin.filename, folder / order.pin.release_path):
            if os.path.isfile(path):
                yield path


def _of_that_hash(order: Order) -> Iterator[Path]:
    """Yield wheels that somebody renamed."""
    for folder in order.settings.wheelhouse:
        for path in sorted(folder.glob("*.whl")):
            with suppress(OSError):  # one that cannot be read is not the pinned one, and the next may be
                if path.is_file() and sha256_of(path).hex() == order.pin.sha256:
                    yield path


def _from_release(order: Order) -> Delivery:
    url = release_url(order.pin, order.settings)
    received = order.fetch("mirror" if order.settings.base_url else "release", url)
    over_network = urlsplit(url).scheme != "file"
    return Delivery(path=order.wheel, source="release", received_bytes=received if over_network else 0)


def release_url(pin: ModelPin, settings: Settings) -> str:
    """Return where a wheel is fetched from.

    Args:
        pin: The wheel.
        settings: The settings in force, whose mirror stands in for every host, but not for a file.

    Returns:
        An http, https or file URL, with the mirror's user:password if it has one.
    """
    if settings.base_url is None or (pin.url is not None and urlsplit(pin.url).scheme == "file"):
        return pin.release_url
    return f"{settings.base_url}/{pin.release_path}"


def _from_index(order: Order) -> Delivery:
    folder = order.folder / "index"
    folder.mkdir()
    wheel = pip_download(order.pin, folder, order.settings, order.deadline)
    received = order.fetch("index", wheel.as_uri())
    return Delivery(path=order.wheel, source="index", received_bytes=received)


def _nothing_found(order: Order, attempts: tuple[Attempt, ...]) -> DownloadError | OfflineError:
    pin, settings = order.pin, order.settings
    if settings.offline and not any(attempt.got_sha256 for attempt in attempts):
        url = without_secrets(release_url(pin, settings))
        return OfflineError(name=pin.name, version=pin.version, url=url, attempts=attempts)
    return failure(pin, *attempts)
