"""Versions and requirements as PEP 440 and PEP 508 read them. The only module that imports packaging."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


def is_version(text: str) -> bool:
    """Tell whether a text is a version, with no white space around it."""
    try:
        return bool(Version(text)) and text == text.strip()
    except InvalidVersion:
        return False


def is_requirement(text: str) -> bool:
    """Tell whether a text is a requirement, such as "sudachipy>=0.5.2"."""
    try:
        return bool(Requirement(text).name)
    except InvalidRequirement:
        return False


def same(one: str, other: str) -> bool:
    """Tell whether two spellings mean one version; False for what is no version."""
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False


def is_newer(one: str, other: str) -> bool:
    """Tell whether one version comes after another; False when either is no version."""
    return is_version(one) and is_version(other) and Version(one) > Version(other)


def ascending(version: str) -> Version:
    """Return what to sort versions by: 3.10 comes after 3.9."""
    return Version(version)


def accepts(specifier: str, version: str) -> bool:
    """Tell whether a range such as ">=3.8.0,<3.9.0" includes a version; pre-releases count like any other."""
    return SpecifierSet(specifier).contains(version, prereleases=True)


def is_below(specifier: str, version: str) -> bool:
    """Tell whether a version comes before all that a range with a lower bound includes."""
    bounds = [Version(clause.version) for clause in SpecifierSet(specifier) if clause.operator == ">="]
    return all(Version(version) < bound for bound in bounds)


def installed(name: str) -> str | None:
    """Return the installed version of a distribution, from its metadata; None when it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unmet(requirement: str) -> tuple[str, str | None] | None:
    """Check one requirement against what is installed.

    Args:
        requirement: As in Requires-Dist; a marker that does not hold here makes it count as met.

    Returns:
        The requirement with the installed version (None for none) when it is not met; None when it is.
    """
    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return None
    found = installed(parsed.name)
    if found is not None and parsed.specifier.contains(found, prereleases=True):
        return None
    return requirement, found
