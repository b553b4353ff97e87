"""Pins: what a pinned wheel is, the table of official pipelines, and the way from a name to a pin.

The table is `catalog.csv` beside this module: every official pipeline for spaCy 3.7 and 3.8, from the publisher's
release metadata (github.com/explosion/spacy-models, `meta/*.json`, field `checksum_whl`).
"""

from __future__ import annotations

import csv
import difflib
import logging
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from modelboot._settings import RELEASE_TREE
from modelboot.errors import IncompatibleError, SettingsError, UnknownModelError, without_secrets

DEFAULT_MODEL = "en_core_web_sm"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelPin:
    """One wheel of a spaCy pipeline, pinned by its SHA-256.

    Two pins are equal when they pin the same wheel: same name, version and hash, wherever it is fetched from.

    Args:
        name: Importable name of the pipeline's package, such as "en_core_web_sm".
        version: Version of the wheel, such as "3.8.0".
        sha256: SHA-256 of the wheel file, 64 hexadecimal digits.
        url: https, http or file URL of the wheel; the official release of that name and version when None.
        requires: Requirements checked before the download, such as ("sudachipy>=0.5.2",).
        size_mb: Rough size of the wheel in megabytes, which caps a download; None when unknown.

    Raises:
        SettingsError: A field has a value that cannot be used.
    """

    name: str
    version: str
    sha256: str
    url: str | None = field(default=None, compare=False)
    requires: tuple[str, ...] = field(default=(), compare=False)
    size_mb: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Normalise the hash, then refuse what could not work later."""
        object.__setattr__(self, "sha256", str(self.sha256).lower())
        object.__setattr__(self, "requires", tuple(self.requires))
        for name, value, good, accepted in (
            ("name", self.name, re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name), "an importable name"),
            ("version", self.version, _is_version(self.version), "a version such as 3.8.0"),
            ("sha256", self.sha256, re.fullmatch(r"[0-9a-f]{64}", self.sha256), "64 hexadecimal digits"),
            ("url", self.url, _is_wheel_url(self.url), "an https, http or file URL of a .whl file"),
            ("requires", self.requires, all(map(_is_requirement, self.requires)), "a tuple of requirements"),
            ("size_mb", self.size_mb, self.size_mb is None or self.size_mb >= 0, "a number of megabytes"),
        ):
            if not good:
                raise SettingsError(variable=f"ModelPin.{name}", value=without_secrets(str(value)), accepted=accepted)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def filename(self) -> str:
        """File name of the wheel, taken from the URL where there is one."""
        if self.url is None:
            return f"{self.name}-{self.version}-py3-none-any.whl"
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def release_path(self) -> str:
        """Where the wheel lies below the root of the release tree or of a mirror of it."""
        return f"{self.name}-{self.version}/{self.filename}"

    @property
    def release_url(self) -> str:
        """URL the wheel is published at."""
        return self.url or f"{RELEASE_TREE}/{self.release_path}"


def _is_version(text: str) -> bool:
    try:
        return bool(Version(text))
    except InvalidVersion:
        return False


def _is_requirement(text: str) -> bool:
    try:
        return bool(Requirement(text).name)
    except InvalidRequirement:
        return False


def _is_wheel_url(url: str | None) -> bool:
    if url is None:
        return True
    parts = urlsplit(url)
    return parts.scheme in {"https", "http", "file"} and unquote(parts.path).endswith(".whl")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """An official pipeline release: its pin and the facts that only the catalog knows."""

    pin: ModelPin
    spacy_range: str
    """Versions of spaCy it was made for, as a specifier such as ">=3.8.0,<3.9.0"."""
    license: str

    def accepts(self, spacy_version: Version) -> bool:
        """Tell whether that spaCy is one the pipeline was made for."""
        return SpecifierSet(self.spacy_range).contains(spacy_version, prereleases=True)

    def is_older_than_wanted(self, spacy_version: Version) -> bool:
        """Tell whether that spaCy came before the first one the pipeline was made for."""
        oldest = min(Version(clause.version) for clause in SpecifierSet(self.spacy_range) if clause.operator == ">=")
        return spacy_version < oldest


def catalog() -> tuple[CatalogEntry, ...]:
    """Return every official pipeline release, by name and then from the oldest version to the newest."""
    return tuple(entry for name in sorted(_rows()) for entry in entries(name))


def entries(name: str) -> tuple[CatalogEntry, ...]:
    """Return the releases of one pipeline from the oldest to the newest; none when the name is unknown."""
    found = (_entry(row) for row in _rows().get(name, ()))
    return tuple(sorted(found, key=lambda entry: Version(entry.pin.version)))


@cache
def _rows() -> dict[str, list[dict[str, str]]]:
    """Read the data file, grouped by name. Rows become pins only when asked for: that is most of the cost."""
    text = resources.files("modelboot").joinpath("catalog.csv").read_text("utf-8")
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        rows.setdefault(row["name"], []).append(row)
    return rows


def _entry(row: dict[str, str]) -> CatalogEntry:
    pin = ModelPin(
        row["name"],
        row["version"],
        row["sha256"],
        requires=tuple(part for part in row["requirements"].split(";") if part),
        size_mb=int(row["size"].removesuffix(" MB")),
    )
    return CatalogEntry(pin, row["spacy_version"], row["license"])


def resolve(model: str | ModelPin, *, spacy_version: str | None = None) -> ModelPin:
    """Turn what a caller names into a pin.

    Args:
        model: A catalog name, a name with a version ("en_core_web_sm==3.7.1"), or a pin, which is returned as it is.
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
    name, _, version = (part.strip() for part in model.partition("=="))
    releases = entries(name)
    wanted = tuple(entry for entry in releases if not version or entry.pin.version == version)
    if not wanted:
        raise _unknown(name, version, releases)
    return _fitting(wanted, Version(spacy_version or _installed_spacy(wanted[-1])))


def _unknown(name: str, version: str, releases: tuple[CatalogEntry, ...]) -> UnknownModelError:
    return UnknownModelError(
        name=name,
        version=version or None,
        known_versions=tuple(entry.pin.version for entry in releases),
        near=tuple(difflib.get_close_matches(name.replace("-", "_"), _rows(), n=3)),
    )


def _fitting(releases: tuple[CatalogEntry, ...], spacy_version: Version) -> ModelPin:
    """Choose among releases of one pipeline, oldest first, as spaCy itself would judge them."""
    accepting = [entry for entry in releases if entry.accepts(spacy_version)]
    if accepting:
        return accepting[-1].pin
    usable = [entry for entry in releases if not entry.is_older_than_wanted(spacy_version)]
    if not usable:
        oldest = releases[0]
        raise IncompatibleError(model=str(oldest.pin), unmet=((f"spacy{oldest.spacy_range}", str(spacy_version)),))
    newest = usable[-1]
    _log.warning("%s was made for spaCy %s; %s is installed", newest.pin, newest.spacy_range, spacy_version)
    return newest.pin


def _installed_spacy(entry: CatalogEntry) -> str:
    """Read spaCy's version from its metadata: importing spaCy would cost a second."""
    version = _installed_version("spacy")
    if version is None:
        raise IncompatibleError(model=str(entry.pin), unmet=((f"spacy{entry.spacy_range}", None),))
    return version


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_requirements(pin: ModelPin) -> None:
    """Make sure that what a pipeline needs is installed.

    Args:
        pin: The pipeline.

    Raises:
        IncompatibleError: A requirement is missing or installed in a version that does not fit; all are named.
    """
    unmet = []
    for text in pin.requires:
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate()
        found = _installed_version(requirement.name)
        if applies and (found is None or not requirement.specifier.contains(found, prereleases=True)):
            unmet.append((text, found))
    if unmet:
        raise IncompatibleError(model=str(pin), unmet=tuple(unmet))


def same_version(one: str, other: str) -> bool:
    """Tell whether two spellings mean one version, as PEP 440 reads them; False for what is no version."""
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False
