"""A pin -> Language: installed once, loaded, repaired if damaged.

Any failure to load is followed by one full hash check: modified files are installed again, intact ones are not.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelboot._catalog import resolve_model
from modelboot._deadline import Deadline
from modelboot._install.ensure import ensure
from modelboot._install.importable import append_to_sys_path
from modelboot._install.inspection import inspect as inspect_target
from modelboot._install.installed import Installed
from modelboot._install.target import targets_to_search
from modelboot._pin import ModelPin
from modelboot._settings import Settings, network_variables, read_settings
from modelboot._spacy.failures import Failures
from modelboot._spacy.package import import_package
from modelboot._spacy.registry import register
from modelboot._spacy.turns import KeyedLock
from modelboot.errors import LoadError, ModelbootError, SettingsError

if TYPE_CHECKING:
    from spacy.language import Language

COMPONENTS = ("disable", "enable", "exclude")
"""Arguments of `spacy.load` that name components."""
KNOWN = {*COMPONENTS, "vocab", "config"}
"""What every `spacy.load` accepts."""
Options = Mapping[str, Any]
"""Keyword arguments of `spacy.load`; what is not there is left to its defaults."""

turns = KeyedLock()
failures = Failures()

_log = logging.getLogger(__name__)


def load(model: str | os.PathLike[str] | ModelPin, options: Options, *, offline: bool | None) -> Language:
    """Install a model unless it is there, and load it anew; `modelboot.load` says the rest.

    Args:
        model: What the caller named.
        options: The arguments of `spacy.load` that the caller gave.
        offline: Whether to keep off the network; None leaves it to the settings.

    Raises:
        TypeError: The installed spaCy accepts no such argument.
    """
    if options.keys() - KNOWN:
        _refuse_unknown(options)
    named = {option: component_names(option, options[option]) for option in COMPONENTS if option in options}
    components_key = tuple((option, frozenset(names)) for option, names in named.items())
    is_comparable = options.keys() == named.keys()  # a vocabulary cannot be compared with that of the next call
    settings = settings_of_call(offline=offline)
    found = resolve_model(model, settings.pins)
    return load_found(found, settings, {**options, **named}, components_key if is_comparable else None)


def load_found(
    found: ModelPin | Path | str, settings: Settings, options: Options, components_key: Hashable
) -> Language:
    """Load what a caller named: a pin, or something of its own, which spaCy loads as it is."""
    if isinstance(found, ModelPin):
        return _load_pin(found, settings, options, components_key)
    import spacy

    return spacy.load(found, **options)


def _refuse_unknown(options: Options) -> None:
    """Raise the TypeError of `spacy.load` for what it does not accept, before anything is fetched."""
    import spacy

    inspect.signature(spacy.load).bind("model", **options)


def settings_of_call(*, offline: bool | None) -> Settings:
    """Read the settings in force; an argument beats the environment."""
    settings = read_settings()
    return settings if offline is None else settings._replace(offline=offline)


def component_names(option: str, names: str | Iterable[str]) -> list[str]:
    """Accept what spaCy accepts: one name, or any iterable of names.

    Raises:
        SettingsError: It is neither.
    """
    try:
        chosen = [names] if isinstance(names, str) else [*names]
        "".join(chosen)  # refuses anything but strings
    except TypeError as error:
        accepted = "a component's name or several"
        raise SettingsError(variable=option, value=repr(names), accepted=accepted) from error
    return chosen


def _load_pin(pin: ModelPin, settings: Settings, options: Options, components_key: Hashable) -> Language:
    """Install and load; when loading fails because files were modified, repair them once.

    Args:
        pin: The model.
        settings: The settings in force.
        options: What spaCy is told.
        components_key: Stands for the options in what is remembered of failures; None when they cannot be compared.

    Returns:
        The pipeline, freshly loaded, of the pinned version.

    Raises:
        LoadError: spaCy cannot load it, and its files are intact.
        ModelbootError: It could not be installed, as for `ensure`; or another model could not that its code asks for.
    """
    folder, installed = _install(pin, settings)
    call = None if components_key is None else (*_failure_key(pin, settings), components_key)
    with failures.cached_failure(call, partial(_look, pin, settings)):
        try:
            return _load_installed(folder, installed, pin, options)
        except ModelbootError:  # of another model, which the pipeline's code asked for
            raise
        except Exception as error:
            issues = _modified_files(folder, installed, pin, error)
            if not issues:
                raise _failed(folder, pin, error) from error
            _log.warning("%s is damaged and is installed again: %s", pin, "; ".join(issues))
        # Another program may have put its own there in the meantime: then there is nothing to replace.
        folder, installed = _install(pin, settings, replacing=installed if installed.dist_info.exists() else None)
        try:
            return _load_installed(folder, installed, pin, options)
        except ModelbootError:
            raise
        except Exception as error:
            raise _failed(folder, pin, error) from error


def _install(pin: ModelPin, settings: Settings, replacing: Installed | None = None) -> tuple[Path, Installed]:
    """Install a model unless it is there, one thread at a time, and settle the folder of its data."""
    call = _failure_key(pin, settings)
    with (
        turns.turn(call, str(pin), Deadline.after(settings.deadline_s)),
        failures.cached_failure(call, partial(_look, pin, settings)),
    ):
        next_imports = ["spacy", f"spacy.lang.{pin.name.partition('_')[0]}"]
        installed = ensure(pin, settings, replacing=replacing, preload=next_imports).installed
        folder = installed.data_folder
    append_to_sys_path(installed.folder)
    return folder, installed


def _failure_key(pin: ModelPin, settings: Settings) -> tuple[Hashable, ...]:
    """Return what makes two calls the same: with another URL or another setting the next one may fare better."""
    return (*astuple(pin), settings, network_variables())


def _look(pin: ModelPin, settings: Settings) -> object:
    """Return what tells one install of a model from the next; None when there is none."""
    try:
        inspections = (inspect_target(target, pin) for target in targets_to_search(pin, settings))
        installed = next((each.installed for each in inspections if each.installed), None)
        return installed and (installed.dist_info, os.stat(installed.dist_info).st_mtime_ns)
    except OSError:
        return None


def _modified_files(folder: Path, installed: Installed, pin: ModelPin, error: Exception) -> list[str]:
    """Hash what could not be loaded. Files that cannot even be read (EMFILE, EACCES) prove no damage."""
    try:
        return installed.modified_files()
    except OSError:
        raise _failed(folder, pin, error) from error


def _failed(folder: Path, pin: ModelPin, error: Exception) -> LoadError:
    reason = " ".join(str(error).split()) or "no reason given"
    return LoadError(model=str(pin), path=str(folder), reason=f"{type(error).__name__}: {reason}")


def _load_installed(folder: Path, installed: Installed, pin: ModelPin, options: Options) -> Language:
    """Load exactly these files: by their path, so that nothing of that name elsewhere can stand in for them."""
    import spacy

    import_package(installed.name, installed.package)
    register(installed.name, folder)
    nlp = spacy.load(folder, **options)
    version = str(nlp.meta.get("version"))
    if not pin.accepts(version):
        message = f"its meta.json says version {version}"
        raise ValueError(message)
    return nlp
