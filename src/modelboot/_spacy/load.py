"""Installed files -> Language; repair. The only module that imports spaCy.

Any failure to load is followed by one full hash check: modified files are installed again, intact ones are not.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict

from modelboot._install.ensure import ensure
from modelboot._install.installed import Installed
from modelboot._pin import ModelPin, same_version
from modelboot._settings import Settings
from modelboot.errors import LoadError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from spacy.language import Language

_log = logging.getLogger(__name__)


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `spacy.load`."""

    disable: list[str]
    enable: list[str]
    exclude: list[str]


def load(pin: ModelPin, settings: Settings, options: LoadOptions) -> Language:
    """Install and load; when loading fails because files were modified, repair them once.

    Args:
        pin: The model.
        settings: The settings in force.
        options: Arguments for spaCy.

    Returns:
        The pipeline, freshly loaded, of the pinned version.

    Raises:
        LoadError: spaCy cannot load it, and its files are intact.
        ModelbootError: It could not be installed, as for `ensure`.
    """
    _, installed = ensure(pin, settings)
    try:
        return _load_installed(installed, pin, options)
    except Exception as error:
        issues = _modified_files(installed, pin, error)
        if not issues:
            raise _failed(installed, pin, error) from error
        _log.warning("%s is damaged and is installed again: %s", pin, "; ".join(issues))
    _, installed = ensure(pin, settings, replacing=installed)
    try:
        return _load_installed(installed, pin, options)
    except Exception as error:
        raise _failed(installed, pin, error) from error


def _modified_files(installed: Installed, pin: ModelPin, error: Exception) -> list[str]:
    """Hash what could not be loaded. Files that cannot even be read (EMFILE, EACCES) prove no damage."""
    try:
        return installed.modified_files()
    except OSError:
        raise _failed(installed, pin, error) from error


def _failed(installed: Installed, pin: ModelPin, error: Exception) -> LoadError:
    reason = " ".join(str(error).split()) or "no reason given"
    return LoadError(model=str(pin), path=str(installed.data_folder), reason=f"{type(error).__name__}: {reason}")


def _load_installed(installed: Installed, pin: ModelPin, options: LoadOptions) -> Language:
    """Load exactly these files: by their path, so that nothing of that name elsewhere can stand in for them."""
    import spacy

    _import_package(installed)
    nlp = spacy.load(installed.data_folder, **options)
    version = str(nlp.meta.get("version"))
    if not same_version(version, pin.version):
        message = f"its meta.json says version {version}"
        raise ValueError(message)
    return nlp


def _import_package(installed: Installed) -> None:
    """Import the pipeline's package from where it was found, for the components its code may register.

    A module of that name from elsewhere (another version, a file of the working directory) is replaced: the program
    asked for the pin.
    """
    name, init = installed.name, str(installed.package / "__init__.py")
    if getattr(sys.modules.get(name), "__file__", None) == init:
        return
    before = {key: sys.modules.pop(key) for key in [*sys.modules] if key == name or key.startswith(f"{name}.")}
    try:
        sys.modules[name] = module = _module_at(name, init)
        module.__loader__.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        sys.modules.pop(name, None)
        sys.modules.update(before)
        raise


def _module_at(name: str, init: str) -> ModuleType:
    loader = _ReadOnlyLoader(name, init)
    spec = importlib.util.spec_from_file_location(name, init, loader=loader)
    assert spec is not None  # noqa: S101 - only without a loader
    return importlib.util.module_from_spec(spec)


class _ReadOnlyLoader(SourceFileLoader):
    """Import without leaving bytecode behind: a warm start writes nothing."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module; if it is a package, its own modules are imported in the same way."""
        for folder in getattr(module, "__path__", ()):
            sys.path_importer_cache[folder] = FileFinder(
                folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_ReadOnlyLoader, SOURCE_SUFFIXES)
            )
        super().exec_module(module)

    def set_data(self, path: str, data: ReadableBuffer, *, _mode: int = 0o666) -> None:
        """Write nothing."""
