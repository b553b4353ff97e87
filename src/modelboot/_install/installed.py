"""What counts as installed: dist-info, RECORD, damage, and who put it there. Nothing here writes.

Whether a model is intact is decided by evidence, not by trying to import it: a dist-info of the pinned version, a
RECORD, every recorded file there with its recorded size, and no other hash than the pin's on record.
"""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from modelboot._files import UNREADABLE_ERRNOS, read_regular_file, sha256_of
from modelboot._install.targets import INSTALLER, Target
from modelboot._versions import same_name, version_key

DIRECT_URL = "direct_url.json"
OWN_FACTS = "modelboot.json"
"""Has the hash in place of direct_url.json, where an index gave the wheel: only what has a direct URL has that."""


class Installed(NamedTuple):
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
        return split_name(self.dist_info.name)[1]

    @property
    def folder(self) -> Path:
        """Folder of the target."""
        return self.target.folder

    @property
    def package(self) -> Path:
        """Folder of the package."""
        return self.folder / self.name

    @property
    def recorded(self) -> set[str]:
        """Paths of all files that RECORD names, relative to the target."""
        return {path for path, _, _ in self._record()}

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
        """SHA-256 of the wheel it came from, where its installer recorded that (PEP 610), or modelboot did."""
        for name in (DIRECT_URL, OWN_FACTS) if self.installer == INSTALLER else (DIRECT_URL,):
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                archive = json.loads(self._text(name))["archive_info"]
                return str(archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256="))
        return None

    @property
    def state(self) -> str:
        """In words: what is wrong, that it is intact, or that nothing tells which wheel it is from."""
        unproven = f"hash not recorded by {self.installer or 'its installer'}"
        return self.first_problem or ("intact" if self.sha256 else unproven)

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
        # RECORD itself has no size, nor has bytecode, which comes and goes.
        problems = (self._size_problem(path, size) for path, size in sizes.items() if size)
        return next(filter(None, problems), None)

    def _size_problem(self, path: str, recorded: str) -> str | None:
        """Tell that a recorded file is missing or has another size; None when it has this one, or none is recorded."""
        try:
            found = os.stat(os.path.join(self.folder, path)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is missing"
        return f"{path} has {found} bytes, recorded {recorded}" if recorded not in {"", str(found)} else None

    def modified_files(self) -> list[str]:
        """Hash every recorded file.

        Returns:
            A sentence for each file that is missing or does not have its recorded size and SHA-256, the same that
            `first_problem` has for it; empty when all do.

        Raises:
            OSError: A file could not be read, which says nothing about its bytes.
        """
        record = self._record()
        issues = [] if record else [f"{self.dist_info.name}/RECORD is missing or empty"]
        for path, recorded, size in record:
            if not recorded.startswith("sha256="):
                continue
            if problem := self._size_problem(path, size):
                issues.append(problem)
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
        tops = self.target.folders_of(self.package, self.dist_info)
        return sorted(name for name in files_below(tops, self.folder) if name not in self.recorded)

    def _record(self) -> list[tuple[str, str, str]]:
        """Read RECORD: path, hash and size of each file; empty when there is no RECORD to read."""
        text = self._text("RECORD")
        lines = csv.reader(text.splitlines() if text.endswith("\n") else ())  # without, it was cut short
        return [(row[0], row[1], row[2]) for row in lines if len(row) == 3]  # noqa: PLR2004 - PEP 376: three columns

    def _text(self, filename: str) -> str:
        try:
            return read_regular_file(self.dist_info / filename).decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""


def files_below(tops: Iterable[Path], folder: Path) -> Iterator[str]:
    """Yield the files below some folders, relative to another; bytecode does not count, links do."""
    for top in tops:
        if os.path.islink(top) or not os.path.isdir(top):
            yield top.relative_to(folder).as_posix()
        for path, folders, files in os.walk(top):
            links = [name for name in folders if os.path.islink(os.path.join(path, name))]
            if not path.endswith("__pycache__"):
                yield from (Path(path, name).relative_to(folder).as_posix() for name in (*files, *links))


def all_in(target: Target, name: str | None = None) -> Iterator[Installed]:
    """Yield every distribution in a target; none when there is no such folder or this user may not read it.

    Args:
        target: The target; its folder need not exist.
        name: Only distributions of this name, in any spelling of it.
    """
    try:
        with os.scandir(target.folder) as entries:
            found = [(split_name(entry.name)[0], entry.path) for entry in entries if entry.name.endswith(".dist-info")]
    except OSError as error:
        if error.errno in UNREADABLE_ERRNOS:
            return
        raise
    yield from (Installed(each, target, Path(path)) for each, path in found if name is None or same_name(each, name))


def split_name(dist_info: str) -> tuple[str, str]:
    """Split the name of a dist-info folder into the distribution's name and its version."""
    name, _, version = dist_info.removesuffix(".dist-info").rpartition("-")
    return name, version


def _as_recorded(installed: Installed) -> Installed:
    """Name a model as its package in RECORD, which may have capitals where the dist-info has none."""
    tops = sorted({path.partition("/")[0] for path in installed.recorded})
    return installed._replace(name=next((top for top in tops if same_name(top, installed.name)), installed.name))


def list_installed(targets: Iterable[Target]) -> list[Installed]:
    """List the pipelines in some targets, of every installer, by name, version and folder.

    A name can be there twice, in two targets or versions.
    """
    found = [_as_recorded(each) for target in targets for each in all_in(target) if each.is_pipeline]
    return sorted(found, key=lambda installed: (installed.name, version_key(installed.version), installed.folder))
