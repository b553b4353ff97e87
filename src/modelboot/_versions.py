"""Compare versions and names, and requirements with what is installed. The only module that imports packaging.

Versions of plain numbers, which those of pipelines and of spaCy are, are compared without it: importing packaging would
take a sixth of an install's time.
"""

from __future__ import annotations

import functools
import re

_PLAIN = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")
_INCLUDES = {
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
    "<": lambda order: order < 0,
    ">": lambda order: order > 0,
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
}


def is_version(text: str) -> bool:
    """Return True if a text is a version, without whitespace around it."""
    try:
        return text == text.strip() and _compare(text, text) == 0
    except ValueError:
        return False


def same_version(one: str, other: str) -> bool:
    """Return True if two spellings mean one version; False for what is not a version."""
    try:
        return one == other or _compare(one, other) == 0
    except ValueError:
        return False


def is_newer_version(one: str, other: str) -> bool:
    """Return True if one version comes after another; False when either is not a version."""
    try:
        return _compare(one, other) > 0
    except ValueError:
        return False


def canonical_version(version: str) -> str:
    """Return the one spelling of a version: "1", "1.0.0" and "v1.0.0" are the same."""
    numbers = _numbers(version)
    if numbers is not None:
        return ".".join(map(str, numbers)) or "0"
    from packaging.utils import canonicalize_version

    return canonicalize_version(version)


def _compare(one: str, other: str) -> int:
    """Return a number below, equal to or above 0 as one version comes before, with or after another.

    Raises:
        ValueError: Either is not a version.
    """
    left, right = _numbers(one), _numbers(other)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    from packaging.version import Version

    first, second = Version(one), Version(other)
    return (first > second) - (first < second)


def _order(one: str, other: str) -> int:
    """Compare as `_compare` does; what is not a version comes before all that are."""
    try:
        return _compare(one, other)
    except ValueError:
        left, right = (is_version(one), one), (is_version(other), other)
        return (left > right) - (left < right)


version_key = functools.cmp_to_key(_order)
"""What to sort versions by: 3.10 comes after 3.9."""


def _numbers(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a plain version without zeros at its end; None when it has more than numbers."""
    if not _PLAIN.fullmatch(version):
        return None
    numbers = [*map(int, version.split("."))]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def accepts_version(specifier: str, version: str) -> bool:
    """Return True if a range such as ">=3.8.0,<3.9.0" includes a version; pre-releases count like any other."""
    clauses = [_split(clause) for clause in specifier.split(",")]
    if all(operator in _INCLUDES and _numbers(bound) is not None for operator, bound in [*clauses, ("==", version)]):
        return all(_INCLUDES[operator](_compare(version, bound)) for operator, bound in clauses)
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


def is_older_than_range(specifier: str, version: str) -> bool:
    """Return True if a version comes before all that a range with a lower bound includes."""
    clauses = [_split(clause) for clause in specifier.split(",")]
    return all(_compare(version, bound) < 0 for operator, bound in clauses if operator == ">=")


def _split(clause: str) -> tuple[str, str]:
    """Split one clause of a range into its operator and its version."""
    bound = clause.strip().lstrip("<>=!~")
    return clause.strip().removesuffix(bound), bound.strip()


def same_name(one: str, other: str) -> bool:
    """Return True if two spellings mean one distribution, as package indexes judge it (PEP 503)."""
    return one == other or _normalized(one) == _normalized(other)


@functools.lru_cache(maxsize=4)  # one name is compared with every other of an environment
def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_requirement(text: str) -> bool:
    """Return True if a text is a requirement, such as "sudachipy>=0.5.2"."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return bool(Requirement(text).name)
    except InvalidRequirement:
        return False


def required_name(requirement: str) -> str | None:
    """Return the distribution a requirement asks for; None where its marker does not hold here."""
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    holds = parsed.marker is None or parsed.marker.evaluate({"extra": ""})
    return parsed.name if holds else None


def meets(requirement: str, version: str) -> bool:
    """Return True if an installed version meets a requirement; pre-releases count like any other."""
    from packaging.requirements import Requirement

    return Requirement(requirement).specifier.contains(version, prereleases=True)
