"""A model's name -> its pin in the catalog of official pipelines, or near names; what a pipeline requires.

The catalog is `catalog.csv` beside this module: every official pipeline for spaCy 3.7 and 3.8, from the publisher's
release metadata (github.com/explosion/spacy-models, `meta/*.json`, field `checksum_whl`).
"""

from __future__ import annotations

import csv
import logging
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from modelboot._environment import install_command, installed_version
from modelboot._pin import ModelPin, is_reference, parse_name, parse_reference, read_pins
from modelboot._versions import accepts_version, is_older_than_range, meets, required_name, same_name, version_key
from modelboot.errors import IncompatibleError, SettingsError, UnknownModelError

DEFAULT_MODEL = "en_core_web_sm"

_log = logging.getLogger(__name__)


class CatalogEntry(NamedTuple):
    """An official pipeline release: its pin and the facts that only the catalog knows."""

    pin: ModelPin
    spacy_range: str
    """Versions of spaCy it was made for, as a specifier such as ">=3.8.0,<3.9.0"."""
    license: str


def catalog() -> tuple[CatalogEntry, ...]:
    """Return every official pipeline release, by name and then from the oldest version to the newest."""
    return tuple(entry for name in _names() for entry in entries(name))


def entries(name: str) -> tuple[CatalogEntry, ...]:
    """Return the releases of one pipeline from the oldest to the newest; none when the name is unknown."""
    header, *rows = _lines()
    found = (_entry(row) for row in csv.DictReader([header, *(row for row in rows if row.startswith(f"{name},"))]))
    return tuple(sorted(found, key=lambda entry: version_key(str(entry.pin.version))))


def _names() -> list[str]:
    """Return the names of all pipelines."""
    return sorted({row.partition(",")[0] for row in _lines()[1:]})


@cache
def _lines() -> list[str]:
    """Read the data file. Only the lines of one name are parsed when that is asked for: parsing is most of the cost."""
    return (Path(__file__).parent / "catalog.csv").read_text("utf-8").splitlines()


def _entry(row: dict[str, str]) -> CatalogEntry:
    pin = ModelPin(
        row["name"],
        row["version"],
        row["sha256"],
        requires=tuple(part for part in row["requirements"].split(";") if part),
        size_mb=int(row["size"].removesuffix(" MB")),
    )
    return CatalogEntry(pin, row["spacy_version"], row["license"])


def resolve(model: str | ModelPin, *, pins: Path | None = None, spacy_version: str | None = None) -> ModelPin:
    """Turn the name of a model into its pin.

    Args:
        model: A catalog name, also with hyphens; a name with a version ("en_core_web_sm==3.7.1"); a direct reference
            ("name @ URL#sha256=HEX"); or a pin, which is returned as it is.
        pins: A pins file whose names win over the catalog's.
        spacy_version: spaCy the pipeline must work with; the installed one when None.

    Returns:
        The pin asked for; without a version, the newest one made for that spaCy. For a spaCy newer than all of them
        the newest pin is returned with a warning in the log.

    Raises:
        UnknownModelError: The catalog has no such name or version.
        IncompatibleError: spaCy is absent, or older than the pipeline needs.
        SettingsError: `model` is neither a string nor a pin.
    """
    if isinstance(model, ModelPin):
        return model
    if not isinstance(model, str):
        raise SettingsError(variable="model", value=repr(model), accepted="a name, name==version or a ModelPin")
    if is_reference(model):
        return parse_reference(model)
    name, version = parse_name(model)
    pinned = (
        (pin for pin in read_pins(pins) if same_name(pin.name, name) and (not version or pin.accepts(version)))
        if pins
        else ()
    )
    return next(iter(pinned), None) or _from_catalog(name, version, spacy_version)


def _from_catalog(name: str, version: str, spacy_version: str | None) -> ModelPin:
    """Choose the newest release that fits the version and spaCy."""
    releases = entries(name)
    wanted = tuple(entry for entry in releases if not version or entry.pin.accepts(version))
    if not wanted:
        raise _unknown(name, version, releases)
    return _fitting(wanted, spacy_version or _installed_spacy(wanted[-1]))


def _unknown(name: str, version: str, releases: tuple[CatalogEntry, ...]) -> UnknownModelError:
    return UnknownModelError(
        name=name,
        version=version or None,
        known_versions=tuple(str(entry.pin.version) for entry in releases),
        near=_near(name.lower()),
    )


def _near(name: str) -> tuple[str, ...]:
    """Return names of the catalog that look alike; for a language, its smallest pipelines."""
    code = _LANGUAGES.get(name, name)
    of_language = [other for other in _names() if other.partition("_")[0] == code]
    import difflib

    small_first = sorted(of_language, key=lambda other: not other.endswith("_sm"))
    return tuple(small_first[:3] or difflib.get_close_matches(name, _names(), n=3))


_LANGUAGES = {
    "catalan": "ca",
    "chinese": "zh",
    "croatian": "hr",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "lithuanian": "lt",
    "macedonian": "mk",
    "multi-language": "xx",
    "norwegian": "nb",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "slovenian": "sl",
    "spanish": "es",
    "swedish": "sv",
    "ukrainian": "uk",
}
"""Codes by what people call the languages of the catalog."""


def _fitting(releases: tuple[CatalogEntry, ...], spacy_version: str) -> ModelPin:
    """Choose among releases of one pipeline, oldest first, by the rule spaCy itself uses."""
    accepting = [entry for entry in releases if accepts_version(entry.spacy_range, spacy_version)]
    if accepting:
        return accepting[-1].pin
    usable = [entry for entry in releases if not is_older_than_range(entry.spacy_range, spacy_version)]
    if not usable:
        oldest = releases[0]
        raise _incompatible(oldest.pin, (f"spacy{oldest.spacy_range}", spacy_version))
    newest = usable[-1]
    _log.warning("%s was made for spaCy %s; %s is installed", newest.pin, newest.spacy_range, spacy_version)
    return newest.pin


def _installed_spacy(entry: CatalogEntry) -> str:
    """Read spaCy's version from its metadata: importing spaCy would cost a second."""
    version = installed_version("spacy")
    if version is None:
        raise _incompatible(entry.pin, (f"spacy{entry.spacy_range}", None))
    return version


def resolve_model(model: str | os.PathLike[str] | ModelPin, pins: Path | None) -> ModelPin | Path | str:
    """Return what a caller means.

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
    """Return True if a text can only be a path: it has a separator, and is not a direct reference."""
    return not is_reference(text) and any(separator and separator in text for separator in (os.sep, os.altsep))


def _is_installed_pipeline(name: str) -> bool:
    from importlib import metadata

    try:
        entry_points = metadata.distribution(name).entry_points
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return any(entry_point.group == "spacy_models" for entry_point in entry_points)


def check_requirements(pin: ModelPin) -> None:
    """Check that what a pipeline requires is installed.

    Args:
        pin: The pipeline.

    Raises:
        IncompatibleError: A requirement is missing or installed in a version that does not fit; all are named.
    """
    unmet = [problem for problem in map(unmet_requirement, pin.requires) if problem is not None]
    if unmet:
        raise _incompatible(pin, *unmet)


def _incompatible(pin: ModelPin, *unmet: tuple[str, str | None]) -> IncompatibleError:
    return IncompatibleError(model=str(pin), unmet=unmet, command=install_command())


def unmet_requirement(requirement: str) -> tuple[str, str | None] | None:
    """Check one requirement against what is installed.

    Args:
        requirement: As in Requires-Dist; a marker that does not hold here makes it count as met.

    Returns:
        The requirement with the installed version (None for none) when it is not met; None when it is.
    """
    name = required_name(requirement)
    found = installed_version(name) if name else None
    if name is None or (found is not None and meets(requirement, found)):
        return None
    return requirement, found
