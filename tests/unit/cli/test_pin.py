"""What `pin` prints, in each of its formats."""

from __future__ import annotations

import json

import pytest

from modelboot import ModelPin
from modelboot.cli.pin import PIN_FORMATS, pin_facts

SHA256 = "0123456789abcdef" * 4
PIN = ModelPin("en_tiny_sm", "1.0.0", SHA256, size_mb=12)
RELEASE = "https://github.com/explosion/spacy-models/releases/download"
URL = f"{RELEASE}/en_tiny_sm-1.0.0/en_tiny_sm-1.0.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("python", f'ModelPin("en_tiny_sm", "1.0.0", "{SHA256}", size_mb=12)'),
        ("requirements", f"en_tiny_sm @ {URL}#sha256={SHA256}"),
        ("uv", f'en_tiny_sm = {{ url = "{URL}#sha256={SHA256}" }}'),
    ],
)
def test_pin_format(form: str, line: str) -> None:
    """A pin in each format is this line."""
    assert PIN_FORMATS[form](PIN) == line


def test_pin_facts_without_secrets() -> None:
    """The JSON of a pin has its URL without a password."""
    url = "https://me:secret@example.org/en_tiny_sm-1.0.0-py3-none-any.whl?token=secret"
    facts = pin_facts(ModelPin("en_tiny_sm", "1.0.0", SHA256, url=url))
    assert facts["url"] == "https://example.org/en_tiny_sm-1.0.0-py3-none-any.whl"
    assert "secret" not in json.dumps(facts)
