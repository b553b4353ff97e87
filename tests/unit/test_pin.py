"""A pin refuses what could not work, and says where its wheel is published; references and pins files give pins."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from modelboot import ModelPin, SettingsError
from modelboot._pin import is_reference, parse_name, parse_reference, read_pins

NAME, VERSION, SHA = "en_acme_sm", "1.2.0", "0123456789abcdef" * 4
URL = "https://host/path/en_acme_sm-1.2.0-py3-none-any.whl"


def pin(**changes: Any) -> ModelPin:  # noqa: ANN401 - wrong types are what some tests are about
    """Make a good pin but for these fields."""
    return ModelPin(**{"name": NAME, "version": VERSION, "sha256": SHA, **changes})


ACCEPTED: dict[str, list[object]] = {
    "name": ["_x1"],
    "version": ["1.0rc1"],
    "sha256": [SHA],
    "url": [
        *(None, URL, "http://user:pw@host:80/x.whl?token=1", "file:///srv/x.whl"),
        *("https://host/x%2Ewhl", "https://host/assets/4711"),
    ],
    "requires": [(), ("sudachipy>=0.5.2", "x; python_version<'3.11'")],
    "size_mb": [None, 0, 547],
}
REFUSED: dict[str, tuple[str, list[object]]] = {
    "name": (
        "an importable name of a pipeline's own",
        ["", "en-acme-sm", "1en", "en.acme", "../en", "en\n", "ën", "en#sm", "spacy", "json", "Modelboot", None],
    ),
    "version": ("a version such as 3.8.0", ["", "newest", "1.2.0\n", "../1", 1.2, None]),
    "sha256": ("64 hexadecimal digits", ["", SHA[:-1], f"{SHA}0", f"sha256={SHA}", f"g{SHA[1:]}", None]),
    "url": (
        "an https, http or file URL of a wheel",
        [
            *("", "x.whl", "/srv/x.whl", "ftp://host/x.whl", "https:///x.whl", "https://[host/x.whl"),
            *("https://host:port/x.whl", "https://host/x.tar.gz", 1),
        ],
    ),
    "requires": ("a tuple of requirements", [("a>=",), ("a", None), "sudachipy", None]),
    "size_mb": ("a number of megabytes", [-1, "547 MB", float("nan")]),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in ACCEPTED for value in ACCEPTED[field]])
def test_field_accepted(field: str, value: object) -> None:
    """A field keeps a value that can be used."""
    assert getattr(pin(**{field: value}), field) == value


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in REFUSED for value in REFUSED[field][1]])
def test_field_refused(field: str, value: object) -> None:
    """A value that cannot be used is refused at once, naming the field, the value and the accepted form."""
    with pytest.raises(SettingsError) as caught:
        pin(**{field: value})
    shown = str(value).lower() if field == "sha256" else str(value)
    facts = (caught.value.variable, caught.value.value, caught.value.accepted)
    assert facts == (f"ModelPin.{field}", shown, REFUSED[field][0])


@pytest.mark.parametrize("start", ["https://user:s3cret@", "https://user:s3cret@[", "user:s3cret@"])
def test_url_refused_with_a_secret(start: str) -> None:
    """A secret in a URL that is refused is not shown."""
    with pytest.raises(SettingsError, match=r"^ModelPin.url='.*host") as caught:
        pin(url=f"{start}host/x.zip?token=s3cret")
    assert "s3cret" not in str(caught.value)


def test_field_normalised() -> None:
    """A hash may be written in capitals, and requirements be a list: neither makes another pin."""
    assert pin(sha256=SHA.upper()) == pin()
    listed = pin(requires=["a", "b>=1"])
    assert (listed.requires, hash(listed)) == (("a", "b>=1"), hash(pin()))


EQUAL = [{"url": URL}, {"requires": ("a",)}, {"size_mb": 3}, {"version": "v1.2"}, {"version": "1.2.0.0"}]
UNEQUAL = [{"name": "en_acme_md"}, {"version": "1.2.1"}, {"sha256": "0" * 64}]


@pytest.mark.parametrize(
    ("changes", "equal"), [*((each, True) for each in EQUAL), *((each, False) for each in UNEQUAL)]
)
def test_pin_equality(changes: dict[str, object], *, equal: bool) -> None:
    """Pins of the same wheel are equal, wherever it is fetched from, and fall together in a set; others are not."""
    assert (pin(**changes) == pin()) is equal
    assert (len({pin(**changes), pin()}) == 1) is equal


def test_pin_is_frozen() -> None:
    """A pin that was checked cannot be changed afterwards."""
    with pytest.raises(AttributeError, match="cannot assign to field 'sha256'"):
        pin().sha256 = "0" * 64  # type: ignore[misc]  # what the test is about


def test_pin_survives_pickling() -> None:
    """A pin that crossed a process border has every field; its text is name and version."""
    whole = pin(url=URL, requires=("a",), size_mb=3)
    revived = pickle.loads(pickle.dumps(whole))  # noqa: S301 - pickled a moment ago
    assert (repr(revived), revived.url, str(revived)) == (repr(whole), URL, "en_acme_sm 1.2.0")


def test_pin_without_a_version() -> None:
    """A pin whose wheel alone tells the version needs a URL, accepts any version, and goes by its hash."""
    unversioned = pin(version=None, url=URL)
    assert str(unversioned) == "en_acme_sm sha256-0123456789ab"
    assert unversioned.accepts("9.9")
    assert [pin().accepts(version) for version in ("1.2", "v1.2.0", "1.2.1")] == [True, True, False]


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        (None, "en_acme_sm-1.2.0-py3-none-any.whl"),
        (URL, "en_acme_sm-1.2.0-py3-none-any.whl"),
        ("https://host/a/other-1-py3-none-any.whl?x=/y.zip#z", "other-1-py3-none-any.whl"),
        ("https://host/en%5Facme.whl", "en_acme.whl"),
        ("https://host/..%2F..%2Fetc.whl", "etc.whl"),
    ],
)
def test_filename(url: str | None, filename: str) -> None:
    """The wheel's file name is the URL's last part, and never a path."""
    assert pin(url=url).filename == filename


def test_release() -> None:
    """A pin is published at its URL, else in the official release tree; on a mirror below its own name and version."""
    path, named = "en_acme_sm-1.2.0/en_acme_sm-1.2.0-py3-none-any.whl", pin(url="https://host/other.whl")
    official = f"https://github.com/explosion/spacy-models/releases/download/{path}"
    assert (pin().release_path, pin().release_url) == (path, official)
    assert (named.release_path, named.release_url) == ("en_acme_sm-1.2.0/other.whl", "https://host/other.whl")


# --- direct references, and pins files, which have one a line as requirements files do

WHEEL = "https://host/models/en_acme-1.2-py3-none-any.whl"
REFERENCE = f"en_acme @ {WHEEL}#sha256={SHA}"


@pytest.mark.parametrize(
    ("text", "version", "url"),
    [
        (REFERENCE, "1.2", WHEEL),
        (f"en-acme@{WHEEL}#sha256={SHA.upper()}", "1.2", WHEEL),
        (f" en_acme  @  {WHEEL}?token=x#egg=y&sha256={SHA} ", "1.2", f"{WHEEL}?token=x"),
        (f"en_acme @ https://hub/en_acme-any-py3-none-any.whl#sha256={SHA}", None, None),
        (f"en_acme @ https://api/assets/4711#sha256={SHA}", None, None),
        (f"en_acme @ file:///srv/fr_other-1.0-py3-none-any.whl#sha256={SHA}", None, None),
    ],
    ids=["plain", "hyphens", "query", "hub", "asset", "another's name"],
)
def test_reference(text: str, version: str | None, url: str | None) -> None:
    """A reference gives name, URL and hash, and the version if the wheel in the URL has the pipeline's name."""
    url = url or text.removeprefix("en_acme @ ").partition("#")[0]
    pin = parse_reference(text)
    assert (pin, pin.url) == (ModelPin("en_acme", version, SHA, url=url), url)


@pytest.mark.parametrize(
    "text",
    [
        *("en_acme @", f"en_acme @ {WHEEL}", f"@ {WHEEL}#sha256={SHA}", f"en acme @ {WHEEL}#sha256={SHA}", "user@host"),
        "en_acme @ https://ann:s3cret@host/x.whl?token=s3cret",
    ],
)
def test_reference_refused(text: str) -> None:
    """A text without name, URL or hash is refused, with the form that is wanted and without its secrets."""
    with pytest.raises(SettingsError, match=r"is not name @ URL#sha256=HEX") as caught:
        parse_reference(text)
    assert "s3cret" not in str(caught.value)


REFERENCES = (f"en_acme @ {WHEEL}", "en_acme@https://host/x", "en_acme @ host/x")
OTHERS = ("/home/ann@corp/m", "./ann@corp/m", "ann@corp/m", r"C:\ann@corp\m", "https://ann:pw@host/x.whl", "en_acme")


@pytest.mark.parametrize("text", [*REFERENCES, *OTHERS])
def test_is_reference(text: str) -> None:
    """A reference has a name before the @, and a URL or a space beside it: paths may have an @, too."""
    assert is_reference(text) is (text in REFERENCES)


@pytest.mark.parametrize("text", ["en_acme==", "en_acme == ", "en_acme>=1", "en_acme~=1.0", "en_acme=1"])
def test_name_refused(text: str) -> None:
    """Any other operator than == is refused, and so is == without a version, as of a variable that is not set."""
    with pytest.raises(SettingsError, match="only == is supported"):
        parse_name(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_pins_file(tmp_path: Path, encoding: str) -> None:
    """A pins file has one reference a line; comments, blank lines and what editors on Windows add are skipped."""
    text = f"{REFERENCE}  # ours\r\n\r\n# and others\nen_b @ https://host/x#sha256={'b' * 64}\n"
    (tmp_path / "pins.txt").write_text(text, encoding, newline="")
    assert [(pin.name, pin.version) for pin in read_pins(tmp_path / "pins.txt")] == [("en_acme", "1.2"), ("en_b", None)]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f"{REFERENCE}\nen_acme==1.2\n".encode(), r"pins\.txt, line 2: model='en_acme==1\.2.*' is not name @ URL"),
        (b"\xff", r"pins\.txt.*it is not UTF-8"),
        (None, r"pins\.txt.*No such file"),
    ],
    ids=["bad line", "not UTF-8", "absent"],
)
def test_pins_file_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """The error names the file, and the line where it is one's fault."""
    file = tmp_path / "pins.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=complaint):
        read_pins(file)
