"""What a caller names: a pin, or something of its own that only spaCy knows and that is loaded as it is."""

from __future__ import annotations

import os
from pathlib import Path

from modelboot._catalog import resolve
from modelboot._pin import ModelPin
from modelboot._reference import is_reference
from modelboot.errors import UnknownModelError


def find_model(model: str | os.PathLike[str] | ModelPin, pins: Path | None) -> ModelPin | Path | str:
    """Tell what a caller means.

    Args:
        model: A pin, whatever `resolve` takes, or whatever `spacy.load` would load: a folder, "blank:xx", an installed
            pipeline that the catalog does not know.
        pins: A pins file whose names win over the catalog's.

    Returns:
        The pin; an absolute folder, so that a later chdir does not move it; or the name, for spaCy.

    Raises:
        UnknownModelError: It is none of these.
        SettingsError: It is misspelled.
    """
    if isinstance(model, os.PathLike) or (isinstance(model, str) and _is_path(model)):
        return Path(os.path.abspath(model))
    if isinstance(model, str) and model.startswith("blank:"):
        return model
    try:
        return resolve(model, pins=pins)
    except UnknownModelError:
        assert isinstance(model, str)  # noqa: S101 - a pin is never unknown
        if _is_installed_pipeline(model):  # before a folder of that name, as with spaCy
            return model
        if os.path.isdir(model):
            return Path(os.path.abspath(model))
        raise


def _is_path(text: str) -> bool:
    """Tell whether a text can only be a path: it has a separator, and is no direct reference."""
    return not is_reference(text) and any(separator and separator in text for separator in (os.sep, os.altsep))


def _is_installed_pipeline(name: str) -> bool:
    from importlib import metadata

    try:
        entry_points = metadata.distribution(name).entry_points
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return any(entry_point.group == "spacy_models" for entry_point in entry_points)
