"""Direct references and pins files: as requirements files have them, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot import ModelPin, SettingsError
from modelboot._reference import is_reference, parse_name, parse_reference, read_pins

SHA = "0a" * 32
URL = "https://host/models/en_acme-1.2-py3-none-any.whl"
REFERENCE = f"en_acme @ {URL}#sha256={SHA}"


@pytest.mark.parametrize(
    ("text", "version", "url"),
    [
        (REFERENCE, "1.2", URL),
        (f"en-acme@{URL}#sha256={SHA.upper()}", "1.2", URL),
        (f" en_acme  @  {URL}?token=x#egg=y&sha256={SHA} ", "1.2", f"{URL}?token=x"),
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
        *("en_acme @", f"en_acme @ {URL}", f"@ {URL}#sha256={SHA}", f"en acme @ {URL}#sha256={SHA}", "user@host"),
        "en_acme @ https://ann:s3cret@host/x.whl?token=s3cret",
    ],
)
def test_reference_refused(text: str) -> None:
    """A text without name, URL or hash is refused, with the form that is wanted and without its secrets."""
    with pytest.raises(SettingsError, match=r"is not name @ URL#sha256=HEX") as caught:
        parse_reference(text)
    assert "s3cret" not in str(caught.value)


REFERENCES = (f"en_acme @ {URL}", "en_acme@https://host/x", "en_acme @ host/x")
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
