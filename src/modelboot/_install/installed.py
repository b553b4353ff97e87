"""What is installed: dist-info, RECORD, damage, and who put it there. Nothing here writes.

Whether a model is intact is decided by evidence, not by trying to import it: a dist-info of the pinned version, a
RECORD, every recorded file there with its recorded size, and no direct_url.json that names another hash.
"""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from modelboot._files import sha256_of
from modelboot._install.target import INSTALLER, Target
from modelboot._pin import ModelPin, is_newer_version, same_name, same_version


@dataclass(frozen=True, slots=True)
class Installed:
    """One model that has a dist-info in a target, intact or not. Its properties read the disk."""

    name: str
    """Name of its package."""
    target: Target
    dist_info: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def version(self) -> str:
        """Version, from the name of its dist-info."""
        return _split(self.dist_info.name)[1]

    @property
    def folder(self) -> Path:
        """Folder of the target."""
        return self.target.folder

    @property
    def package(self) -> Path:
        """Folder of the package."""
        return self.folder / self.name

    @property
    def data_folder(self) -> Path:
        """Folder `spacy.load` takes: the one with config.cfg, named by the package's own meta.json."""
        with suppress(OSError, ValueError, KeyError):
            meta = json.loads((self.package / "meta.json").read_text("utf-8"))
            return self.package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
        return self.package / f"{self.name}-{self.version}"

    @property
    def installer(self) -> str:
        """Name of the program that installed it; empty when it left none."""
        return self._text("INSTALLER").strip()

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the wheel it came from, where the installer recorded it in direct_url.json (PEP 610)."""
        try:
            archive = json.loads(self._text("direct_url.json"))["archive_info"]
            return str(archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256="))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def is_pipeline(self) -> bool:
        """Whether modelboot installed it, or its entry points name a spaCy pipeline."""
        return self.installer == INSTALLER or "[spacy_models]" in self._text("entry_points.txt")

    @property
    def first_problem(self) -> str | None:
        """The first thing that keeps it from being intact; None when every recorded file is there with its size."""
        sizes = {path: size for path, _, size in self._record()}
        for needed in (f"{self.dist_info.name}/RECORD", f"{self.name}/__init__.py"):
            if needed not in sizes:
                return f"RECORD does not list {needed}"
        for path, size in sizes.items():
            if not size:  # RECORD itself, and bytecode, which comes and goes
                continue
            try:
                found = os.stat(os.path.join(self.folder, path)).st_size
            except (FileNotFoundError, NotADirectoryError):
                return f"{path} is missing"
            if str(found) != size:
                return f"{path} has {found} bytes, recorded {size}"
        return None

    def modified_files(self) -> list[str]:
        """Hash every recorded file.

        Returns:
            A sentence for each file that is missing or does not have its recorded SHA-256; empty when all do.

        Raises:
            OSError: A file could not be read, which says nothing about its bytes.
        """
        record = self._record()
        issues = [] if record else [f"{self.dist_info.name}/RECORD is missing or empty"]
        for path, recorded, _ in record:
            if not recorded.startswith("sha256="):
                continue
            try:
                # As RECORD writes digests: URL-safe base64 without padding.
                digest = base64.urlsafe_b64encode(sha256_of(self.folder / path)).decode().rstrip("=")
            except (FileNotFoundError, NotADirectoryError):
                issues.append(f"{path} is missing")
                continue
            if digest != recorded.removeprefix("sha256="):
                issues.append(f"{path} was altered")
        return issues

    def unexpected_files(self) -> list[str]:
        """List the files in its folders that RECORD does not name, relative to the target; bytecode does not count."""
        recorded = {path for path, _, _ in self._record()}
        files = (path for top in (self.package, self.dist_info) for path in top.rglob("*") if not path.is_dir())
        names = (path.relative_to(self.folder).as_posix() for path in files if "__pycache__" not in path.parts)
        return sorted(name for name in names if name not in recorded)

    def _record(self) -> list[tuple[str, str, str]]:
        """Read RECORD: path, hash and size of each file; empty when there is no RECORD to read."""
        text = self._text("RECORD")
        lines = csv.reader(text.splitlines() if text.endswith("\n") else ())  # without, it was cut short
        return [(row[0], row[1], row[2]) for row in lines if len(row) == 3]  # noqa: PLR2004 - PEP 376: three columns

    def _text(self, filename: str) -> str:
        try:
            return (self.dist_info / filename).read_text("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a target holds of a model at one moment."""

    state: Literal["absent", "intact", "foreign", "replaceable"]
    """`foreign` stays: another program installed it, or it is a newer one of modelboot's own.
    `replaceable` is an older one of modelboot's own, or a damaged one."""
    existing: tuple[Path, ...] = ()
    """Everything of that name in the target, dist-infos first: what a new install replaces."""
    installed: Installed | None = None
    """The pinned model, when it is intact."""


def inspect(target: Target, pin: ModelPin) -> Inspection:
    """Find out what a target holds of a model, in about a millisecond and without writing or locking.

    Args:
        target: The target; its folder need not exist.
        pin: The model.

    Returns:
        What is there, compared with the pin. What this user may not read is foreign.

    Raises:
        OSError: The target cannot be read: too many open files, no memory, a broken disk.
    """
    try:
        return _inspect(target, pin)
    except PermissionError:
        return Inspection("foreign")


def _inspect(target: Target, pin: ModelPin) -> Inspection:
    named = [replace(other, name=pin.name) for other in _all_in(target) if same_name(other.name, pin.name)]
    package = target.folder / pin.name
    existing = (*(other.dist_info for other in named), *([package] if os.path.lexists(package) else []))
    for installed in named:
        if _is_pinned(installed, pin) and installed.first_problem is None:
            return Inspection("intact", existing, installed)
    if any(_must_stay(other, pin) for other in named):
        return Inspection("foreign", existing)
    return Inspection("replaceable" if existing else "absent", existing)


def _is_pinned(installed: Installed, pin: ModelPin) -> bool:
    if pin.version is None:
        return installed.sha256 == pin.sha256
    return same_version(installed.version, pin.version) and installed.sha256 in {None, pin.sha256}


def _must_stay(installed: Installed, pin: ModelPin) -> bool:
    """Tell whether what is installed is not modelboot's to replace by this pin."""
    if _is_pinned(installed, pin):
        return False  # it is the pinned one, and damaged
    if installed.installer != INSTALLER:
        return os.path.lexists(installed.dist_info)  # else another process has just taken it away
    # A newer one of our own is another program's pin: if it were replaced, the two would take turns for ever.
    is_newer = pin.version is None or is_newer_version(installed.version, pin.version)  # unknown: nothing is lost
    return is_newer and installed.first_problem is None


def _all_in(target: Target) -> Iterator[Installed]:
    """Yield every distribution in a target; none when there is no such folder or this user may not read it."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(target.folder) as entries:
        for entry in entries:
            if entry.name.endswith(".dist-info"):
                yield Installed(_split(entry.name)[0], target, Path(entry.path))


def _split(dist_info: str) -> tuple[str, str]:
    """Split the name of a dist-info folder into the distribution's name and its version."""
    name, _, version = dist_info.removesuffix(".dist-info").rpartition("-")
    return name, version


def list_installed(targets: Iterable[Target]) -> list[Installed]:
    """List the pipelines in some targets, whoever installed them, by name, version and folder.

    A name can be there twice, in two targets or versions.
    """
    found = [installed for target in targets for installed in _all_in(target) if installed.is_pipeline]
    return sorted(found, key=lambda installed: (installed.name, installed.version, installed.folder))
