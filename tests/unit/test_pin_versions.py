"""Versions and requirements are read as PEP 440 and PEP 508 say."""

from __future__ import annotations

import pytest

from modelboot._catalog import installed_version, unmet_requirement
from modelboot._pin import accepts_version, is_older_than_range, is_requirement, is_version, same_version, version_key


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


def test_ascending() -> None:
    """Versions are ordered by their numbers, and a pre-release comes before its release."""
    assert sorted(["3.10.0", "3.9.0", "3.10.0rc1", "3.9"], key=version_key) == [
        "3.9.0",
        "3.9",
        "3.10.0rc1",
        "3.10.0",
    ]


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
    ("specifier", "version", "is_below"),
    [
        (">=3.8.0,<3.9.0", "3.7.9", True),
        (">=3.8.0,<3.9.0", "3.8.0", False),
        (">=3.8.0,<3.9.0", "4.0.0", False),
        (">=3.8.0,<3.9.0", "3.8.0.dev2", True),
        (">=3.7.0.dev0,<3.8.0", "3.7.0.dev0", False),
    ],
)
def test_is_below(specifier: str, version: str, *, is_below: bool) -> None:
    """A version is below a range when it comes before its lower bound."""
    assert is_older_than_range(specifier, version) is is_below


def test_installed() -> None:
    """The version of a distribution is that of its metadata; what is not there has none."""
    assert is_version(installed_version("pytest") or "")
    assert installed_version("modelboot-no-such-thing") is None


@pytest.mark.parametrize(
    "requirement",
    [
        "pytest",
        "PyTest>=1",
        "modelboot-no-such-thing; python_version < '3'",
        "modelboot-no-such-thing; extra == 'ja'",
    ],
    ids=["any-version", "version", "marker", "extra"],
)
def test_unmet_none(requirement: str) -> None:
    """A requirement is met when a fitting version is installed, or when its marker does not hold here."""
    assert unmet_requirement(requirement) is None


def test_unmet_missing() -> None:
    """A requirement that is not installed is unmet, with no version."""
    requirement = "modelboot-no-such-thing>=1; python_version >= '3'"
    assert unmet_requirement(requirement) == (requirement, None)


def test_unmet_other_version() -> None:
    """A requirement that is installed in another version is unmet, with that version."""
    assert unmet_requirement("pytest<1") == ("pytest<1", installed_version("pytest"))
