"""The cache: one verified wheel per hash for all environments of a user, so that none of them downloads it again.

A rename puts a wheel there once it is unpacked. What leaves is a copy, hashed as it is made, as others may write to the
cache. A wheel that is damaged is removed. Files of other names are not modelboot's: MODELBOOT_HOME may be a folder that
has more than its own.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from modelboot._deadline import Limits
from modelboot._files import rename
from modelboot._network.download import Download, Received, copy
from modelboot._network.response import RequestError
from modelboot._pin import ModelPin
from modelboot._sources.source import Probe, as_failed_attempt

CACHED = re.compile(r"[0-9a-f]{64}\.whl")
"""Name of a wheel that is kept: its SHA-256."""
UNFINISHED = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}\.part")
"""Name of a copy that is not complete: the wheel's SHA-256, and what tells it from another copy of it."""
UNFINISHED_STALE_S = 3600.0
"""An unfinished copy that old is of a process that died."""


class CachedWheel(NamedTuple):
    """A wheel in the cache, by its name: its bytes are checked when it is used."""

    sha256: str
    path: Path
    size_bytes: int


class WheelCache(NamedTuple):
    """Wheels kept for reuse, in a folder of modelboot's own (MODELBOOT_CACHE=0 keeps none)."""

    folder: Path
    name: Literal["cache"] = "cache"

    def location(self, pin: ModelPin) -> str:
        """Return where a wheel is kept."""
        return str(self._path(pin))

    def disabled(self, pin: ModelPin) -> str:
        """Return that it does not keep the wheel: most calls are about one it does not keep, which is fine."""
        return "" if _is_regular(self._path(pin)) else "this wheel is not kept"

    def fetch(self, pin: ModelPin, wanted: Download) -> Received:
        """Copy the wheel and verify the copy; remove a wheel that is damaged."""
        kept = self._path(pin)
        with as_failed_attempt(self, pin):
            try:
                return copy(kept.as_uri(), wanted._replace(size_mb=None))  # one that has grown is damaged, too
            except RequestError as error:
                if error.kind not in {"bytes", "not_a_wheel"}:
                    raise
                raise RequestError(_remove_damaged(kept), kept.as_uri()) from error

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:  # noqa: ARG002 - looking takes no time
        """Tell that the wheel is kept: `disabled` has looked."""
        found = "keeps this wheel; an install checks its hash"
        return [Probe(subject=self.name, value=self.location(pin), ok=True, found=found)]

    def keep(self, wheel: Path, *, moving: bool) -> None:
        """Keep a wheel.

        Args:
            wheel: The verified wheel, named by its hash, its mode one that others may read.
            moving: The caller does not need it any more.

        Raises:
            OSError: It cannot be kept.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / wheel.name
        if not os.path.lexists(path) and not (moving and _moved(wheel, path)):
            self._copy(wheel, path)

    def cached(self) -> Iterator[CachedWheel]:
        """Yield the wheels that are kept."""
        for path in self._files(CACHED):
            if _is_regular(path):
                yield CachedWheel(path.stem, path, path.stat().st_size)

    def prune(self) -> Iterator[CachedWheel]:
        """Remove what is kept, yield each wheel that was, and leave alone what others have put there."""
        for wheel in self.cached():
            wheel.path.unlink(missing_ok=True)
            yield wheel
        self._remove_unfinished(older_than_s=0)
        with suppress(OSError):  # not there, or something else is in it
            self.folder.rmdir()

    def _path(self, pin: ModelPin) -> Path:
        return self.folder / f"{pin.sha256}.whl"

    def _copy(self, wheel: Path, path: Path) -> None:
        self._remove_unfinished(older_than_s=UNFINISHED_STALE_S)
        part = path.with_name(f"{path.stem}.{os.urandom(8).hex()}.part")
        try:
            shutil.copyfile(wheel, part)  # unlike tempfile's it has the mode of a file that others may read
            rename(part, path, replacing=True)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _remove_unfinished(self, *, older_than_s: float) -> None:
        for path in self._files(UNFINISHED):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_than_s:
                    path.unlink()

    def _files(self, names: re.Pattern[str]) -> list[Path]:
        return [path for path in sorted(self.folder.glob("*")) if names.fullmatch(path.name)]


def _is_regular(path: Path) -> bool:
    """Return True if a file is there, and is one itself: no link belongs in here."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _remove_damaged(kept: Path) -> str:
    """Remove a damaged wheel, unless the cache is read-only, and return what became of it."""
    try:
        kept.unlink(missing_ok=True)
    except OSError:
        return "is damaged, and cannot be removed"
    return "was damaged, and is removed"


def _moved(wheel: Path, path: Path) -> bool:
    """Rename a wheel, and return False where that cannot be, such as on another file system."""
    try:
        rename(wheel, path)
    except OSError:
        return False
    return True
