"""A name or a pin -> Language: installed once, loaded by `spacy.load`, repaired when it is damaged.

Any failure to load is followed by one full hash check: modified files are installed again, intact ones are not.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelboot._catalog import resolve_model
from modelboot._install.ensure import ensure
from modelboot._install.installed import Installed
from modelboot._pin import ModelPin
from modelboot._settings import Settings, read_settings
from modelboot._spacy.findable import make_findable
from modelboot._spacy.package import import_package
from modelboot._turns import raise_if_from_signal
from modelboot.errors import LoadError, ModelbootError, SettingsError

if TYPE_CHECKING:
    from spacy.language import Language

COMPONENTS = ("disable", "enable", "exclude")
"""Arguments of `spacy.load` that name components."""
KNOWN = {*COMPONENTS, "vocab", "config"}
"""What every `spacy.load` accepts."""
Options = Mapping[str, Any]
"""Keyword arguments of `spacy.load`; what is not there is left to its defaults."""

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
    settings = settings_of_call(offline=offline)
    return load_found(resolve_model(model, settings.pins), settings, {**options, **named})


def load_found(found: ModelPin | Path | str, settings: Settings, options: Options) -> Language:
    """Load what a caller named: a pin, or something of its own, which spaCy loads as it is."""
    if isinstance(found, ModelPin):
        return _load_pin(found, settings, options)
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


def _load_pin(pin: ModelPin, settings: Settings, options: Options) -> Language:
    """Install and load; when loading fails because files were modified, repair them once.

    Args:
        pin: The model.
        settings: The settings in force.
        options: What spaCy is told.

    Returns:
        The pipeline, freshly loaded, of the pinned version.

    Raises:
        LoadError: spaCy cannot load it, and its files are intact.
        ModelbootError: It could not be installed, as for `ensure`; or another model could not that its code asks for.
    """
    installed = ensure(pin, settings, for_loading=True).installed
    try:
        return _load_installed(installed, pin, options)
    except LoadError:
        issues = _modified_files(installed)
        if not issues:
            raise
        _log.warning("%s is damaged and is installed again: %s", pin, "; ".join(issues))
    # Another program may have put its own there in the meantime: then there is nothing to replace.
    damaged = installed if installed.dist_info.exists() else None
    return _load_installed(ensure(pin, settings, replacing=damaged, for_loading=True).installed, pin, options)


def _modified_files(installed: Installed) -> list[str]:
    """Hash what could not be loaded. Files that cannot even be read (EMFILE, EACCES) prove no damage."""
    try:
        return installed.modified_files()
    except OSError as error:
        raise_if_from_signal(error)
        return []


def _load_installed(installed: Installed, pin: ModelPin, options: Options) -> Language:
    """Load exactly these files: by their path, so that nothing of that name elsewhere can stand in for them.

    Raises:
        LoadError: The pipeline's code or spaCy failed, or the version is another.
    """
    folder = installed.data_folder
    try:
        import spacy

        make_findable(installed.name, installed.folder, folder)
        import_package(installed.name, installed.package)
        nlp = spacy.load(folder, **options)
    except ModelbootError:  # of another model, which the pipeline's code asked for
        raise
    except Exception as error:
        raise_if_from_signal(error)
        text = " ".join(str(error).split()) or "no reason given"
        reason = f"{type(error).__name__}: {text}"
        raise LoadError(model=str(pin), path=str(folder), reason=reason) from error
    version = str(nlp.meta.get("version"))
    if not pin.accepts(version):
        raise LoadError(model=str(pin), path=str(folder), reason=f"its meta.json says version {version}")
    return nlp
