"""What `install` prints, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelboot import InstalledModel
from modelboot.cli.commands import model_facts, model_line
from modelboot.cli.output import to_json

SHA256 = "0123456789abcdef" * 4

FETCHED = InstalledModel(
    name="fr_tiny_sm",
    version="1.2.0",
    path=Path("/env/fr_tiny_sm/fr_tiny_sm-1.2.0"),
    sha256=SHA256,
    verified=True,
    source="release",
    downloaded_bytes=16_271_721,
    seconds=1.23456,
    phases=(("find", 0.001), ("lock", 0.0), ("fetch", 1.0), ("unpack", 0.2), ("publish", 0.034)),
)
PRESENT = InstalledModel(
    name="en_tiny_sm",
    version="1.0.0",
    path=Path("/env/en_tiny_sm/en_tiny_sm-1.0.0"),
    sha256=SHA256,
    verified=True,
    source="present",
    downloaded_bytes=0,
    seconds=0.001,
    phases=(("find", 0.001),),
)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (FETCHED, "fr_tiny_sm 1.2.0  release, 16.3 MB, 1.23 s  /env"),
        (PRESENT, "en_tiny_sm 1.0.0  present  /env"),
    ],
    ids=["fetched", "present"],
)
def test_model_line(model: InstalledModel, line: str) -> None:
    """`install` tells in a line what it is, how it got there, what that cost and where it is."""
    assert model_line(model) == line


def test_model_facts() -> None:
    """The JSON of `install` has every fact of the model but the phases, the path as text."""
    assert json.loads(to_json(model_facts(FETCHED))) == {
        "name": "fr_tiny_sm",
        "version": "1.2.0",
        "sha256": SHA256,
        "verified": True,
        "source": "release",
        "path": "/env/fr_tiny_sm/fr_tiny_sm-1.2.0",
        "downloaded_bytes": 16_271_721,
        "seconds": 1.2346,
    }
