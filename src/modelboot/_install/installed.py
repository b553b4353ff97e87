"""What lies in a folder: is the pinned model there, and is it whole. Nothing here writes.

"Whole" is decided by evidence, not by trying to import: a dist-info of the pinned version, a RECORD, every recorded
file there with its recorded size, and no direct_url.json that names another hash.
"""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelboot._files import sha256_of
from modelboot._install.target import INSTALLER
from modelboot._pin import ModelPin, is_newer_version, same_name, same_version


@dataclass(frozen=True, slots=True)
class DistInfo:
    """The dist-info folder of one installed distribution."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the distribution as its folder spells it."""
        return self.path.name.removesuffix(".dist-info").rpartition("-")[0]

    @property
    def version(self) -> str:
        """Version of the distribution, from its folder's name."""
        return self.path.name.removesuffix(".dist-info").rpartition("-")[2]

    @property
    def installer(self) -> str:
        """Name of the program that installed it; empty when it left none."""
        return self._text("INSTALLER").strip()

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the wheel as direct_url.json (PEP 610) names it; None when it names none."""
        try:
            archive = json.loads(self._text("direct_url.json"))["archive_info"]
            return str(archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256="))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def is_pipeline(self) -> bool:
        """Whether it says of itself that it is a spaCy pipeline."""
        return "[spacy_models]" in self._text("entry_points.txt")

    def rows(self) -> list[tuple[str, str, str]]:
        """Read RECORD: path, hash and size of each file; empty when there is no RECORD to read."""
        text = self._text("RECORD")
        lines = csv.reader(text.splitlines() if text.endswith("\n") else ())  # without, it was cut short
        return [(row[0], row[1], row[2]) for row in lines if len(row) == 3]  # noqa: PLR2004 - PEP 376: three columns

    def _text(self, filename: str) -> str:
        try:
            return (self.path / filename).read_text("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""


@dataclass(frozen=True, slots=True)
class Found:
    """A whole model of the pinned version."""

    folder: Path
    dist_info: DistInfo
    package: Path

    @property
    def data(self) -> Path:
        """Folder `spacy.load` takes: the one with config.cfg, named by the package's own meta.json."""
        with suppress(OSError, ValueError, KeyError):
            meta = json.loads((self.package / "meta.json").read_text("utf-8"))
            return self.package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
        return self.package / f"{self.package.name}-{self.dist_info.version}"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at one folder found of one model."""

    state: Literal["absent", "whole", "taken", "replaceable"]
    """`taken` is a version or wheel that stays: any that modelboot did not put there, and a newer one that it did.
    `replaceable` is modelboot's own older one, or a damaged one."""
    found: Found | None = None
    remains: tuple[Path, ...] = ()
    """Everything of that name in the folder, dist-infos first: what a new install takes the place of."""


def look(folder: Path, pin: ModelPin) -> Sighting:
    """Judge what a folder holds of a model, in about a millisecond and without writing or locking.

    Args:
        folder: The folder; it need not exist.
        pin: The model.

    Returns:
        What is there, judged against the pin. What this user may not read is taken by somebody else.

    Raises:
        OSError: It cannot be judged: too many open files, no memory, a broken disk.
    """
    try:
        return _look(folder, pin)
    except PermissionError:
        return Sighting("taken")


def _look(folder: Path, pin: ModelPin) -> Sighting:
    package = folder / pin.name
    dist_infos = [info for info in dist_infos_in(folder) if same_name(info.name, pin.name)]
    remains = (*(info.path for info in dist_infos), *([package] if os.path.lexists(package) else []))
    for info in dist_infos:
        if _is_pinned(info, pin) and missing(folder, info, package) is None:
            return Sighting("whole", Found(folder, info, package), remains)
    if any(_stays(info, folder, pin) for info in dist_infos):
        return Sighting("taken", None, remains)
    return Sighting("replaceable" if remains else "absent", None, remains)


def _stays(info: DistInfo, folder: Path, pin: ModelPin) -> bool:
    """Tell whether a distribution is not modelboot's to replace by this pin."""
    if _is_pinned(info, pin):
        return False  # it is the pinned one, and damaged
    if info.installer != INSTALLER:
        return os.path.lexists(info.path)  # else a racer has just taken it away
    # A newer one of our own is somebody's pin too: replacing it would have two programs take turns for ever.
    return is_newer_version(info.version, pin.version) and missing(folder, info, folder / info.name) is None


def dist_infos_in(folder: Path) -> Iterator[DistInfo]:
    """Yield the dist-info folders in a folder; none when there is no such folder or this user may not read it."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".dist-info"):
                yield DistInfo(Path(entry.path))


def _is_pinned(info: DistInfo, pin: ModelPin) -> bool:
    return same_version(info.version, pin.version) and info.sha256 in {None, pin.sha256}


def missing(folder: Path, info: DistInfo, package: Path) -> str | None:
    """Name the first thing that keeps an install from being whole; None when nothing does."""
    rows = {path: size for path, _, size in info.rows()}
    for needed in (f"{info.path.name}/RECORD", f"{package.name}/__init__.py"):
        if needed not in rows:
            return f"RECORD does not list {needed}"
    for path, size in rows.items():
        if not size:  # RECORD itself, and byte code, which comes and goes
            continue
        try:
            found = os.stat(os.path.join(folder, path)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is missing"
        if str(found) != size:
            return f"{path} has {found} bytes, recorded {size}"
    return None


def altered(found: Found) -> list[str]:
    """Hash every recorded file.

    Args:
        found: The model to check.

    Returns:
        A sentence for each file that is missing or does not have its recorded SHA-256; empty when all are intact.

    Raises:
        OSError: A file could not be read, which says nothing about its bytes.
    """
    issues = []
    for path, recorded, _ in found.dist_info.rows():
        if not recorded.startswith("sha256="):
            continue
        try:
            # As RECORD writes digests: URL-safe base64 without padding.
            digest = base64.urlsafe_b64encode(sha256_of(found.folder / path)).decode().rstrip("=")
        except (FileNotFoundError, NotADirectoryError):
            issues.append(f"{path} is missing")
            continue
        if digest != recorded.removeprefix("sha256="):
            issues.append(f"{path} was altered")
    return issues


def unrecorded(found: Found) -> list[str]:
    """List the files in a model's folders that its RECORD does not name; byte code does not count.

    Args:
        found: The model.

    Returns:
        Their paths, relative to the folder the model lies in.
    """
    recorded = {path for path, _, _ in found.dist_info.rows()}
    files = (path for top in (found.package, found.dist_info.path) for path in top.rglob("*") if not path.is_dir())
    names = (path.relative_to(found.folder).as_posix() for path in files if "__pycache__" not in path.parts)
    return sorted(name for name in names if name not in recorded)
