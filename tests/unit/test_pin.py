"""A pin refuses what could not work, and says where its wheel is published."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from modelboot import ModelPin, SettingsError
from modelboot._catalog import unmet_requirement
from modelboot._environment import installed_version

NAME, VERSION, SHA = "en_acme_sm", "1.2.0", "0123456789abcdef" * 4
URL = "https://host/path/en_acme_sm-1.2.0-py3-none-any.whl"


def pin(**changes: Any) -> ModelPin:  # noqa: ANN401 - wrong types are what some tests are about
    """Make a good pin but for these fields."""
    return ModelPin(**{"name": NAME, "version": VERSION, "sha256": SHA, **changes})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "_x1"),
        ("version", "1.0rc1"),
        ("sha256", SHA),
        ("url", None),
        ("url", URL),
        ("url", "http://user:pw@host:80/x.whl?token=1"),
        ("url", "file:///srv/x.whl"),
        ("url", "https://host/x%2Ewhl"),
        ("url", "https://host/assets/4711"),
        ("requires", ()),
        ("requires", ("sudachipy>=0.5.2", "x; python_version<'3.11'")),
        ("size_mb", None),
        ("size_mb", 0),
        ("size_mb", 547),
    ],
)
def test_field_accepted(field: str, value: object) -> None:
    """A field keeps a value that can be used."""
    assert getattr(pin(**{field: value}), field) == value


ACCEPTED = {
    "name": "an importable name of a pipeline's own",
    "version": "a version such as 3.8.0",
    "sha256": "64 hexadecimal digits",
    "url": "an https, http or file URL of a wheel",
    "requires": "a tuple of requirements",
    "size_mb": "a number of megabytes",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "en-acme-sm"),
        ("name", "1en"),
        ("name", "en.acme"),
        ("name", "../en"),
        ("name", "en\n"),
        ("name", "ën"),
        ("name", "en#sm"),
        ("name", "spacy"),
        ("name", "json"),
        ("name", "Modelboot"),
        ("name", None),
        ("version", ""),
        ("version", "newest"),
        ("version", "1.2.0\n"),
        ("version", "../1"),
        ("version", 1.2),
        ("version", None),
        ("sha256", ""),
        ("sha256", SHA[:-1]),
        ("sha256", f"{SHA}0"),
        ("sha256", f"sha256={SHA}"),
        ("sha256", f"g{SHA[1:]}"),
        ("sha256", None),
        ("url", ""),
        ("url", "x.whl"),
        ("url", "/srv/x.whl"),
        ("url", "ftp://host/x.whl"),
        ("url", "https:///x.whl"),
        ("url", "https://[host/x.whl"),
        ("url", "https://host:port/x.whl"),
        ("url", "https://host/x.tar.gz"),
        ("url", 1),
        ("requires", ("a>=",)),
        ("requires", ("a", None)),
        ("requires", "sudachipy"),
        ("requires", None),
        ("size_mb", -1),
        ("size_mb", "547 MB"),
        ("size_mb", float("nan")),
    ],
)
def test_field_refused(field: str, value: object) -> None:
    """A value that cannot be used is refused at once, naming the field, the value and the accepted form."""
    with pytest.raises(SettingsError, match=f"^ModelPin.{field}=") as caught:
        pin(**{field: value})
    shown = str(value).lower() if field == "sha256" else str(value)
    assert (caught.value.variable, caught.value.value, caught.value.accepted) == (
        f"ModelPin.{field}",
        shown,
        ACCEPTED[field],
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@host/x.zip",
        "https://user:s3cret@[host/x.whl",
        "https://host/x.zip?token=s3cret",
        "user:s3cret@host/x.whl",
    ],
)
def test_url_refused_with_a_secret(url: str) -> None:
    """A secret in a URL that is refused is not shown."""
    with pytest.raises(SettingsError, match=r"^ModelPin.url='.*host") as caught:
        pin(url=url)
    assert "s3cret" not in str(caught.value)


def test_sha256_in_capitals() -> None:
    """The digits may be written in capitals, which does not make another pin."""
    assert pin(sha256=SHA.upper()) == pin()


def test_requires_as_a_list() -> None:
    """A list of requirements serves as well, and the pin still has a hash."""
    listed = pin(requires=["a", "b>=1"])
    assert (listed.requires, hash(listed)) == (("a", "b>=1"), hash(pin()))


@pytest.mark.parametrize(
    "changes",
    [{"url": URL}, {"requires": ("a",)}, {"size_mb": 3}, {"version": "v1.2"}, {"version": "1.2.0.0"}],
    ids=["url", "requires", "size", "version with v", "version with zeros"],
)
def test_pin_equal(changes: dict[str, object]) -> None:
    """Pins of the same wheel are equal, wherever it is fetched from, and fall together in a set."""
    assert pin(**changes) == pin()
    assert len({pin(**changes), pin()}) == 1


@pytest.mark.parametrize(
    "changes",
    [{"name": "en_acme_md"}, {"version": "1.2.1"}, {"sha256": "0" * 64}],
    ids=["name", "version", "sha256"],
)
def test_pin_unequal(changes: dict[str, object]) -> None:
    """Pins of different wheels are not equal."""
    assert pin(**changes) != pin()


def test_pin_is_frozen() -> None:
    """A pin that was checked cannot be changed afterwards."""
    with pytest.raises(AttributeError, match="cannot assign to field 'sha256'"):
        pin().sha256 = "0" * 64  # type: ignore[misc]  # what the test is about


def test_pin_survives_pickling() -> None:
    """A pin that crossed a process border has every field."""
    whole = pin(url=URL, requires=("a",), size_mb=3)
    revived = pickle.loads(pickle.dumps(whole))  # noqa: S301 - pickled a moment ago
    assert repr(revived) == repr(whole)


def test_pin_as_text() -> None:
    """A pin's text is name and version, as a person would say it."""
    assert str(pin()) == "en_acme_sm 1.2.0"


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        (None, "en_acme_sm-1.2.0-py3-none-any.whl"),
        (URL, "en_acme_sm-1.2.0-py3-none-any.whl"),
        ("https://host/a/other-1-py3-none-any.whl?x=/y.zip#z", "other-1-py3-none-any.whl"),
        ("https://host/en%5Facme.whl", "en_acme.whl"),
        ("https://host/..%2F..%2Fetc.whl", "etc.whl"),
    ],
    ids=["no-url", "url", "query", "quoted", "dots"],
)
def test_filename(url: str | None, filename: str) -> None:
    """The wheel's file name is the URL's last part, and never a path."""
    assert pin(url=url).filename == filename


def test_release_without_a_url() -> None:
    """A pin without a URL is published in the official release tree."""
    assert pin().release_path == "en_acme_sm-1.2.0/en_acme_sm-1.2.0-py3-none-any.whl"
    assert pin().release_url == (
        "https://github.com/explosion/spacy-models/releases/download/en_acme_sm-1.2.0/en_acme_sm-1.2.0-py3-none-any.whl"
    )


def test_release_with_a_url() -> None:
    """A pin with a URL is published there, and on a mirror below its own name and version."""
    named = pin(url="https://host/other.whl")
    assert (named.release_path, named.release_url) == ("en_acme_sm-1.2.0/other.whl", "https://host/other.whl")


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
