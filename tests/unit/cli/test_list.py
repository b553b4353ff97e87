"""What `list --available` prints, for people and for programs."""

from __future__ import annotations

import json

from modelboot import ModelPin
from modelboot._catalog import CatalogEntry
from modelboot.cli.list import catalog_text, entry_facts
from modelboot.cli.output import to_json

SHA256 = "0123456789abcdef" * 4
PIN = ModelPin("en_tiny_sm", "1.0.0", SHA256, size_mb=12)
RELEASE = "https://github.com/explosion/spacy-models/releases/download"
URL = f"{RELEASE}/en_tiny_sm-1.0.0/en_tiny_sm-1.0.0-py3-none-any.whl"


def test_catalog_text() -> None:
    """The catalog is a table, with the whole hash where that is asked for."""
    entries = [
        CatalogEntry(PIN, ">=3.8.0,<3.9.0", "MIT"),
        CatalogEntry(ModelPin("en_tiny_trf", "3.7.10", SHA256, size_mb=436), ">=3.7.0", "GNU GPL 3.0"),
    ]
    assert catalog_text(entries, has_hashes=False).splitlines() == [
        "name         version  spaCy             size  license",
        "en_tiny_sm   1.0.0    >=3.8.0,<3.9.0   12 MB  MIT",
        "en_tiny_trf  3.7.10   >=3.7.0         436 MB  GNU GPL 3.0",
    ]
    assert catalog_text(entries, has_hashes=True).splitlines() == [
        "name         version  spaCy             size  license      sha256",
        f"en_tiny_sm   1.0.0    >=3.8.0,<3.9.0   12 MB  MIT          {SHA256}",
        f"en_tiny_trf  3.7.10   >=3.7.0         436 MB  GNU GPL 3.0  {SHA256}",
    ]


def test_entry_facts() -> None:
    """The JSON of `list --available` has the pin, the spaCy range and the license."""
    pin = ModelPin("ja_tiny_sm", "1.0.0", SHA256, requires=("sudachipy>=0.5.2",), size_mb=12)
    facts = entry_facts(CatalogEntry(pin, ">=3.8.0,<3.9.0", "MIT"))
    assert json.loads(to_json(facts)) == {
        "name": "ja_tiny_sm",
        "version": "1.0.0",
        "sha256": SHA256,
        "url": URL.replace("en_", "ja_"),
        "requires": ["sudachipy>=0.5.2"],
        "size_mb": 12,
        "spacy": ">=3.8.0,<3.9.0",
        "license": "MIT",
    }
