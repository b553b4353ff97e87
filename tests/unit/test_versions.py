"""Versions, names and requirements are compared as packaging compares them, plain ones without importing it."""

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
    is_older_than_range,
    is_requirement,
    is_version,
    same_name,
    same_version,
    version_key,
)
from support.children import python

NAME = "en_acme_sm"
VERSIONS = (
    "0",
    "0.0",
    "1",
    "1.0",
    "1.0.0",
    "v1",
    "01.2",
    "1.2",
    "1.10",
    "1.9",
    "1.2.0rc1",
    "1.2.dev0",
    "1!0.5",
    "1.2+a",
)


@pytest.mark.parametrize(("one", "other"), [*itertools.product(VERSIONS, VERSIONS)])
def test_versions_are_compared_as_packaging_does(one: str, other: str) -> None:
    """Plain or not, any two versions are in the order packaging has them in."""
    assert same_version(one, other) is (Version(one) == Version(other))
    assert is_newer_version(one, other) is (Version(one) > Version(other))
    assert (canonical_version(one) == canonical_version(other)) is (
        canonicalize_version(one) == canonicalize_version(other)
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("specifier", [">=1.0", ">1", "<1.2", "<=1.2.0", "==1", "!=1.2", ">=1,<1.10", "~=1.0", "==1.*"])
def test_ranges_include_what_packaging_says(specifier: str, version: str) -> None:
    """Plain or not, a range includes the versions that packaging says it includes."""
    assert accepts_version(specifier, version) is SpecifierSet(specifier).contains(version, prereleases=True)


def test_plain_versions_need_no_packaging() -> None:
    """What pipelines and spaCy are called is compared without the import."""
    code = (
        "import sys; from modelboot._versions import *; "
        "print(accepts_version('>=3.8.0,<3.9.0', '3.8.7'), same_version('3.8', '3.8.0'), 'packaging' in sys.modules)"
    )
    assert python(code).stdout.split() == ["True", "True", "False"]


@pytest.mark.parametrize("text", ["9" * 5000, "1." + "9" * 5000])
def test_number_of_thousands_of_digits_is_no_version(text: str) -> None:
    """Python refuses to read such a number; it is no version, and no error either."""
    assert not is_version(text)
    assert not same_version(text, "1.0")
    assert not is_newer_version(text, "1.0")


@pytest.mark.parametrize("text", ["3.8.0", "1.0", "v1", "1.0rc1", "1!2.0", "1.0+local", "3.7.0.dev0"])
def test_is_version_true(text: str) -> None:
    """Whatever PEP 440 calls a version is one."""
    assert is_version(text)


@pytest.mark.parametrize("text", ["", "latest", "3.8.x", "3..8", ">=3.8", "3.8.0\n", " 3.8.0", "../3.8.0"])
def test_is_version_false(text: str) -> None:
    """Anything else is none; white space around one would end up in file names."""
    assert not is_version(text)


@pytest.mark.parametrize("text", ["a", "sudachipy>=0.5.2", "a[b]>=1,<2", "a>=1; python_version<'3.8'"])
def test_is_requirement_true(text: str) -> None:
    """Whatever PEP 508 calls a requirement is one."""
    assert is_requirement(text)


@pytest.mark.parametrize("text", ["", ">=1", "a>=", "a b", "a>=1; nonsense"])
def test_is_requirement_false(text: str) -> None:
    """Anything else is none."""
    assert not is_requirement(text)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("3.8.0", "3.8.0", True),
        ("3.8", "3.8.0", True),
        ("1.0rc1", "1.0.rc1", True),
        ("3.8.0", "3.8.1", False),
        ("3.8.0", "3.8.0.dev0", False),
        ("odd", "odd", True),
        ("odd", "3.8.0", False),
        ("3.8.0", "odd", False),
    ],
)
def test_same(one: str, other: str, *, is_same: bool) -> None:
    """Two spellings of one version are the same, and a text that is no version is only itself."""
    assert same_version(one, other) is is_same


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("en_acme_sm", True),
        ("en-acme-sm", True),
        ("En.Acme_SM", True),
        ("en--acme_.sm", True),
        ("en_acme_md", False),
        ("enacmesm", False),
        ("", False),
    ],
)
def test_same_name(other: str, *, is_same: bool) -> None:
    """Names are one when only case and separators differ, however many separators stand together."""
    assert same_name(NAME, other) is is_same
    assert same_name(other, NAME) is is_same


def test_ascending() -> None:
    """Versions are ordered by their numbers, and a pre-release comes before its release."""
    assert sorted(["3.10.0", "3.9.0", "3.10.0rc1", "3.9"], key=version_key) == [
        "3.9.0",
        "3.9",
        "3.10.0rc1",
        "3.10.0",
    ]


def test_ascending_with_what_is_no_version() -> None:
    """A folder can have any name: what is no version comes before all that are."""
    assert sorted(["3.9.0", "trunk", "3.10.0", "any"], key=version_key) == ["any", "trunk", "3.9.0", "3.10.0"]


@pytest.mark.parametrize(
    ("specifier", "version", "is_accepted"),
    [
        (">=3.8.0,<3.9.0", "3.8.0", True),
        (">=3.8.0,<3.9.0", "3.8.18", True),
        (">=3.8.0,<3.9.0", "3.9.0", False),
        (">=3.8.0,<3.9.0", "3.7.9", False),
        (">=3.8.0,<3.9.0", "3.8.1.dev2", True),
        (">=3.7.0.dev0,<3.8.0", "3.7.0rc1", True),
        (">=3.8.0,<3.9.0", "3.8.0.dev2", False),
    ],
)
def test_accepts(specifier: str, version: str, *, is_accepted: bool) -> None:
    """A range includes its lower bound and not its upper one, and pre-releases count like any other version."""
    assert accepts_version(specifier, version) is is_accepted


@pytest.mark.parametrize(
    ("specifier", "version", "is_older"),
    [
        (">=3.8.0,<3.9.0", "3.7.9", True),
        (">=3.8.0,<3.9.0", "3.8.0", False),
        (">=3.8.0,<3.9.0", "4.0.0", False),
        (">=3.8.0,<3.9.0", "3.8.0.dev2", True),
        (">=3.7.0.dev0,<3.8.0", "3.7.0.dev0", False),
    ],
)
def test_is_older_than_range(specifier: str, version: str, *, is_older: bool) -> None:
    """A version is below a range when it comes before its lower bound."""
    assert is_older_than_range(specifier, version) is is_older
