"""The sources in order: cache, wheelhouse, release or mirror, package index -> a verified wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from modelboot._deadline import Limits
from modelboot._files import Identity, share
from modelboot._network.download import Download
from modelboot._network.trust_env import read_trust_env
from modelboot._pin import ModelPin, reference_to
from modelboot._progress import Progress
from modelboot._redact import printable
from modelboot._settings import Settings
from modelboot._sources.cache import WheelCache
from modelboot._sources.index import PackageIndexes
from modelboot._sources.release import Release
from modelboot._sources.source import Source, download_error, log_failures
from modelboot._sources.wheelhouse import Wheelhouse
from modelboot._turns import raise_if_from_signal
from modelboot.errors import Attempt, DownloadError, OfflineError, ReportedSource

OFFLINE = "MODELBOOT_OFFLINE=1"


class FetchedWheel(NamedTuple):
    """A verified wheel and where it came from."""

    path: Path
    """A file of this user alone, written by this process."""
    identity: Identity
    """That of the file whose bytes were hashed as they came."""
    source: ReportedSource
    """The source that served it."""
    downloaded_bytes: int
    """Bytes received over the network; 0 for a wheelhouse or a file URL."""
    cache: WheelCache | None

    def keep(self, *, moving: bool = True) -> None:
        """Keep what came over the network for the next environment, once nothing is read from it any more.

        Where that cannot be, the next environment downloads it again, which is not a failure.

        Args:
            moving: The file may be moved away; otherwise a copy is kept.
        """
        if self.cache and self.downloaded_bytes:
            try:
                share(self.path)
                self.cache.keep(self.path, moving=moving)
            except OSError as error:
                raise_if_from_signal(error)


def make_sources(settings: Settings) -> tuple[Source, ...]:
    """Return the sources in the order in which they are asked."""
    network_off, trust_env = OFFLINE if settings.offline else "", read_trust_env(settings)
    return (
        *([cache] if (cache := wheel_cache(settings)) else []),
        *([Wheelhouse(settings.wheelhouse)] if settings.wheelhouse else []),
        *(
            Release(mirror=mirror, trust_env=trust_env, network_off=network_off)
            for mirror in settings.mirrors or [None]
        ),
        PackageIndexes(trust_env, "" if settings.use_index else "MODELBOOT_INDEX=0", network_off),
    )


def wheel_cache(settings: Settings) -> WheelCache | None:
    """Return the cache; None where none is wanted, or no folder is the user's own."""
    folder = cache_folder(settings)
    return WheelCache(folder) if settings.use_cache and folder else None


def cache_folder(settings: Settings) -> Path | None:
    """Return the folder of the cache, whether it is used or not; None where no folder is the user's own."""
    return settings.home / "wheels" if settings.home else None


def unique_sources(sources: Sequence[Source], pin: ModelPin) -> list[Source]:
    """Return the sources for a wheel, none twice: a pin's own file is the same one for every mirror."""
    unique: dict[tuple[str, str], Source] = {}
    for source in sources:
        unique.setdefault((source.name, source.location(pin)), source)
    return [*unique.values()]


def fetch_wheel(
    pin: ModelPin, directory: Path, sources: Sequence[Source], limits: Limits, progress: Progress
) -> FetchedWheel:
    """Fetch the pinned wheel from the first source that has it.

    Args:
        pin: The wheel.
        directory: Where it is put, named by its hash; also for temporary files.
        sources: The places to ask, in order.
        limits: By when.
        progress: Follows the download.

    Returns:
        The verified wheel.

    Raises:
        HashMismatchError: No source has it, and one gave other bytes.
        DownloadError: No source has it; each is named with its reason.
        OfflineError: No wheelhouse has it and the network is switched off.
        InstallError: It cannot be written.
    """
    wanted = Download(
        label=str(pin),
        sha256=pin.sha256,
        size_mb=pin.size_mb,
        path=directory / f"{pin.sha256}.whl",  # should only a part of it be left, its name says of which wheel
        limits=limits,
        progress=progress,
    )
    attempts: list[Attempt] = []
    for source in unique_sources(sources, pin):
        if source.disabled(pin):
            continue
        progress.ask(str(pin), printable(f"{source.name} ({source.location(pin)})"))
        try:
            received = source.fetch(pin, wanted)
        except DownloadError as error:
            attempts += error.attempts
            continue
        finally:
            progress.close()
        log_failures(pin, attempts)
        served: ReportedSource = "release" if source.name == "mirror" else source.name
        cache = next((each for each in sources if isinstance(each, WheelCache)), None)
        return FetchedWheel(wanted.path, received.identity, served, received.downloaded_bytes, cache)
    raise _not_found(pin, sources, tuple(attempts))


def _not_found(pin: ModelPin, sources: Sequence[Source], attempts: tuple[Attempt, ...]) -> DownloadError | OfflineError:
    off = [source for source in sources if isinstance(source, Release) and source.disabled(pin) == OFFLINE]
    if off and not any(attempt.got_sha256 for attempt in attempts):
        reference = f"{pin.name}=={pin.version}" if pin.url is None else reference_to(pin)
        url = off[0].location(pin)
        return OfflineError(name=pin.name, version=pin.version_label, url=url, reference=reference, attempts=attempts)
    return download_error(pin, *attempts)
