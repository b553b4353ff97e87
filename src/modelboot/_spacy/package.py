"""Importing a pipeline's package from where it was found, without leaving bytecode and without taking a name away."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def import_package(name: str, package: Path) -> None:
    """Import a pipeline's package, for the components its code may register.

    It gets its own name where `import name` would find it. Where that finds something else, such as another version,
    the name is left to that, and the package is imported under a private one.

    Args:
        name: Name of the package.
        package: Its folder.

    Raises:
        Exception: Whatever its code raises.
    """
    init = str(package / "__init__.py")
    module = name if _is_found_by_name(name, init) else _private_name(name, init)
    _finder.places[module] = None if module == name else init
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)  # and it stays: removing it would make others skip a finder
    try:
        # Python's own lock of each module: a second thread waits until the first has run all of it.
        importlib.import_module(module)
    except RuntimeError:
        if module not in sys.modules:
            raise
        # Two threads import what the other waits for. Python lets one see a module that is still being run; so do we.


def _is_found_by_name(name: str, init: str) -> bool:
    """Return True if `import name` gives the package at that place, imported already or not."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # of a module that says nothing of where it came from
        return False
    try:
        return spec is not None and spec.origin is not None and os.path.samefile(spec.origin, init)
    except OSError:  # built in, or gone by now
        return False


def _private_name(name: str, init: str) -> str:
    return f"_modelboot_{name}_{hashlib.sha256(os.fsencode(init)).hexdigest()[:12]}"


class _Finder:
    """Finds packages by a private name, and makes them and their modules load without writing bytecode."""

    def __init__(self) -> None:
        self.places: dict[str, str | None] = {}
        """The `__init__.py` by private name; None for a package that has its own."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a pipeline's package, or a module of one; nothing else."""
        top = name.partition(".")[0]
        if top not in self.places:
            return None
        init = self.places[top] if path is None else None
        spec = importlib.util.spec_from_file_location(name, init) if init else PathFinder.find_spec(name, path, target)
        return None if spec is None else _read_only(spec)


def _read_only(spec: ModuleSpec) -> ModuleSpec:
    if type(spec.loader) is SourceFileLoader:
        spec.loader = _ReadOnlyLoader(spec.name, spec.loader.path)
    return spec


class _ReadOnlyLoader(SourceFileLoader):
    """Import without leaving bytecode behind: a warm start writes nothing."""

    def set_data(self, path: str, data: ReadableBuffer, *, _mode: int = 0o666) -> None:
        """Write nothing."""


_finder = _Finder()
