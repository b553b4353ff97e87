"""Direct references and pins files: as requirements files have them, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot import ModelPin, SettingsError
from modelboot._reference import is_reference, parse_name, parse_reference, read_pins

SHA = "0a" * 32
URL = "https://host/models/en_acme-1.2-py3-none-any.whl"


@pytest.mark.parametrize(
    ("text", "version", "url"),
    [
        (f"en_acme @ {URL}#sha256={SHA}", "1.2", URL),
        (f"en-acme@{URL}#sha256={SHA.upper()}", "1.2", URL),
        (f" en_acme  @  {URL}?token=x#egg=y&sha256={SHA} ", "1.2", f"{URL}?token=x"),
        (
            f"en_acme @ https://hub/en_acme-any-py3-none-any.whl#sha256={SHA}",
            None,
            "https://hub/en_acme-any-py3-none-any.whl",
        ),
        (f"en_acme @ https://api/assets/4711#sha256={SHA}", None, "https://api/assets/4711"),
        (
            f"en_acme @ file:///srv/fr_other-1.0-py3-none-any.whl#sha256={SHA}",
            None,
            "file:///srv/fr_other-1.0-py3-none-any.whl",
        ),
    ],
    ids=["plain", "hyphens", "query", "hub", "asset", "another's name"],
)
def test_reference(text: str, version: str | None, url: str) -> None:
    """Name, URL and hash are taken from it; the version only from a wheel's name that is the pipeline's."""
    pin = parse_reference(text)
    assert (pin, pin.url) == (ModelPin("en_acme", version, SHA, url=url), url)


@pytest.mark.parametrize(
    "text",
    ["en_acme @", f"en_acme @ {URL}", f"@ {URL}#sha256={SHA}", f"en acme @ {URL}#sha256={SHA}", "user@host"],
)
def test_reference_refused(text: str) -> None:
    """What has no name, URL or hash is refused, with the form that is wanted."""
    with pytest.raises(SettingsError, match=r"is not name @ URL#sha256=HEX"):
        parse_reference(text)


def test_reference_refused_without_its_secrets() -> None:
    """A password in a reference without a hash is not shown."""
    with pytest.raises(SettingsError) as caught:
        parse_reference("en_acme @ https://ann:s3cret@host/x.whl?token=s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"en_acme @ {URL}", True),
        ("en_acme@https://host/x", True),
        ("en_acme @ host/x", True),
        ("/home/ann@corp/model", False),
        ("./ann@corp/model", False),
        ("ann@corp/model", False),
        (r"C:\\Users\\ann@corp\\model", False),
        ("https://ann:pw@host/x.whl", False),
        ("en_acme", False),
    ],
)
def test_is_reference(text: str, *, meant: bool) -> None:
    """A name stands before the @, and a URL or a space tells that it is no path: people's folders have an @, too."""
    assert is_reference(text) is meant


@pytest.mark.parametrize("text", ["en_acme==", "en_acme == ", "en_acme>=1", "en_acme~=1.0", "en_acme=1"])
def test_name_refused(text: str) -> None:
    """Any other operator than == is refused, and so is == without a version, as of a variable that is not set."""
    with pytest.raises(SettingsError, match="only == is supported"):
        parse_name(text)


def test_pins_file(tmp_path: Path) -> None:
    """It has one reference a line; comments and blank lines are skipped."""
    file = tmp_path / "pins.txt"
    file.write_text(
        f"# models\n\nen_acme @ {URL}#sha256={SHA}  # ours\n\nen_b @ https://host/x#sha256={'b' * 64}\n", "utf-8"
    )
    assert [(pin.name, pin.version) for pin in read_pins(file)] == [("en_acme", "1.2"), ("en_b", None)]


def test_pins_file_of_windows(tmp_path: Path) -> None:
    """The mark that editors there begin a file with is no part of a name."""
    file = tmp_path / "pins.txt"
    file.write_text(f"en_acme @ {URL}#sha256={SHA}\r\n", "utf-8-sig")
    assert [pin.name for pin in read_pins(file)] == ["en_acme"]


def test_pins_file_with_a_bad_line(tmp_path: Path) -> None:
    """The error names the file and the line."""
    file = tmp_path / "pins.txt"
    file.write_text(f"en_acme @ {URL}#sha256={SHA}\nen_acme==1.2\n", "utf-8")
    with pytest.raises(SettingsError, match=r"pins\.txt, line 2: model='en_acme==1\.2.*' is not name @ URL"):
        read_pins(file)


def test_pins_file_missing(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(SettingsError, match=r"absent\.txt.*No such file"):
        read_pins(tmp_path / "absent.txt")
