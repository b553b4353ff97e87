"""Versions, names and requirements are compared as packaging compares them; that it is not imported: test_catalog."""

from __future__ import annotations

import itertools

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_version
from packaging.version import Version

from modelboot._versions import (
    accepts_version,
    canonical_version,
    is_newer_version,
    is_requirement,
    is_version,
    same_name,
    same_version,
    version_key,
)

NAME = "en_acme_sm"
VERSIONS = (
    *("0", "0.0", "1", "1.0", "1.0.0", "v1", "01.2", "1.2", "1.10", "1.9"),
    *("1.2.0rc1", "1.2.dev0", "1!0.5", "1.2+local"),
)
SPECIFIERS = (">=1.0", ">1", "<1.2", "<=1.2.0", "==1", "!=1.2", ">=1,<1.10", "~=1.0", "==1.*")
OF_SPACY = ("3.7.0rc1", "3.7.9", "3.8.0", "3.8.18", "3.9.0", "3.8.0.dev2", "3.8.1.dev2")
RANGES_OF_SPACY = (">=3.8.0,<3.9.0", ">=3.7.0.dev0,<3.8.0")
NINES = "9" * 5000
"""A number that Python refuses to read."""


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations_with_replacement(VERSIONS, 2)])
def test_versions_are_compared_as_packaging_does(one: str, other: str) -> None:
    """Plain or not, whatever PEP 440 calls versions are, and any two are in the order packaging has them in."""
    assert same_version(one, other) is (Version(one) == Version(other))
    assert is_newer_version(one, other) is (Version(one) > Version(other))
    assert is_newer_version(other, one) is (Version(other) > Version(one))
    assert is_version(one)
    assert (canonical_version(one) == canonical_version(other)) is (
        canonicalize_version(one) == canonicalize_version(other)
    )


@pytest.mark.parametrize(
    ("specifier", "version"),
    [*itertools.product(SPECIFIERS, VERSIONS), *itertools.product(RANGES_OF_SPACY, OF_SPACY)],
)
def test_ranges_include_what_packaging_says(specifier: str, version: str) -> None:
    """Plain or not, a range includes what packaging says, and pre-releases count like any other version."""
    assert accepts_version(specifier, version) is SpecifierSet(specifier).contains(version, prereleases=True)


@pytest.mark.parametrize(
    "text", ["", "latest", "3.8.x", "3..8", ">=3.8", "3.8.0\n", " 3.8.0", "../3.8.0", pytest.param(NINES, id="nines")]
)
def test_is_version_false(text: str) -> None:
    """Any other text is not a version, and the same as itself only; white space would end up in file names."""
    assert not is_version(text)
    assert not same_version(text, "1.0")
    assert not same_version("1.0", text)
    assert same_version(text, text)


@pytest.mark.parametrize("text", ["odd", NINES, f"1.{NINES}"], ids=["odd", "nines", "one-nines"])
def test_is_newer_version_of_what_is_none(text: str) -> None:
    """A text that is not a version, such as a number of thousands of digits, is neither newer nor older."""
    assert not is_newer_version(text, "1.0")
    assert not is_newer_version("1.0", text)


REQUIREMENTS = ("a", "sudachipy>=0.5.2", "a[b]>=1,<2", "a>=1; python_version<'3.8'")


@pytest.mark.parametrize("text", [*REQUIREMENTS, "", ">=1", "a>=", "a b", "a>=1; nonsense"])
def test_is_requirement(text: str) -> None:
    """Every requirement of PEP 508 is one; any other text is not."""
    assert is_requirement(text) is (text in REQUIREMENTS)


@pytest.mark.parametrize("other", [NAME, "en-acme-sm", "En.Acme_SM", "en--acme_.sm", "en_acme_md", "enacmesm", ""])
def test_same_name(other: str) -> None:
    """Names are one when only case and separators differ, however many separators stand together."""
    is_same = other not in {"en_acme_md", "enacmesm", ""}
    assert same_name(NAME, other) is same_name(other, NAME) is is_same


def test_version_key() -> None:
    """Versions are ordered by their numbers, a pre-release before its release; what is not a version comes first."""
    mixed = ["3.10.0", "trunk", "3.9.0", "3.10.0rc1", "any", "3.9"]
    assert sorted(mixed, key=version_key) == ["any", "trunk", "3.9.0", "3.9", "3.10.0rc1", "3.10.0"]
