"""Results look as a person likes to read them, and as a program can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelboot import InstalledModel, ModelPin
from modelboot._catalog import CatalogEntry
from modelboot._install.installed import Installed
from modelboot._install.target import Target
from modelboot.cli import commands as _report
from modelboot.cli.check import Token, Trial
from modelboot.cli.output import table

SHA256 = "0123456789abcdef" * 4
PIN = ModelPin("en_tiny_sm", "1.0.0", SHA256, size_mb=12)
RELEASE = "https://github.com/explosion/spacy-models/releases/download"
URL = f"{RELEASE}/en_tiny_sm-1.0.0/en_tiny_sm-1.0.0-py3-none-any.whl"

FETCHED = InstalledModel(
    name="fr_tiny_sm",
    version="1.2.0",
    path=Path("/env/fr_tiny_sm/fr_tiny_sm-1.2.0"),
    sha256=SHA256,
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
    source="present",
    downloaded_bytes=0,
    seconds=0.001,
    phases=(("find", 0.001),),
)
TRIAL = Trial(
    installed=FETCHED,
    spacy="3.8.1",
    pipeline=("tagger", "ner"),
    phases=(*FETCHED.phases, ("load", 0.5), ("parse", 0.006)),
    sentence="Apple cherche",
    tokens=(
        Token(text="Apple", pos="PROPN", tag="NNP", dep="", entity="ORG"),
        Token(text="cherche", pos="VERB", tag="VB", dep="", entity=""),
    ),
)
TRIAL_TEXT = """\
fr_tiny_sm 1.2.0
  pipeline  tagger, ner
  spaCy     3.8.1
  source    release, 16.3 MB
  sha256    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  place     /env/fr_tiny_sm
  seconds   find 0.00, lock 0.00, fetch 1.00, unpack 0.20, publish 0.03, load 0.50, parse 0.01

  Apple cherche

  token    pos    tag  entity
  Apple    PROPN  NNP  ORG
  cherche  VERB   VB"""


def test_trial_text_whole() -> None:
    """The report of `check` is this text, to the sign."""
    assert _report.trial_text(TRIAL, is_terminal=False) == TRIAL_TEXT


def test_trial_text_terminal() -> None:
    """On a terminal the title is bold, and that is all that differs."""
    title, _, rest = _report.trial_text(TRIAL, is_terminal=True).partition("\n")
    assert title == "\x1b[1mfr_tiny_sm 1.2.0\x1b[0m"
    assert rest == TRIAL_TEXT.partition("\n")[2]


def test_trial_facts() -> None:
    """The JSON of `check` has the facts of the install and the parsed tokens; seconds are told by phase."""
    assert json.loads(json.dumps(_report.trial_facts(TRIAL))) == {
        "name": "fr_tiny_sm",
        "version": "1.2.0",
        "sha256": SHA256,
        "source": "release",
        "path": "/env/fr_tiny_sm/fr_tiny_sm-1.2.0",
        "downloaded_bytes": 16_271_721,
        "seconds": {
            "find": 0.001,
            "lock": 0.0,
            "fetch": 1.0,
            "unpack": 0.2,
            "publish": 0.034,
            "load": 0.5,
            "parse": 0.006,
        },
        "spacy": "3.8.1",
        "pipeline": ["tagger", "ner"],
        "sentence": "Apple cherche",
        "tokens": [
            {"text": "Apple", "pos": "PROPN", "tag": "NNP", "dep": "", "entity": "ORG"},
            {"text": "cherche", "pos": "VERB", "tag": "VB", "dep": "", "entity": ""},
        ],
    }


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (FETCHED, "fr_tiny_sm 1.2.0  release, 16.3 MB, 1.23 s  /env/fr_tiny_sm"),
        (PRESENT, "en_tiny_sm 1.0.0  present, 0.00 s  /env/en_tiny_sm"),
    ],
    ids=["fetched", "present"],
)
def test_installed_line(model: InstalledModel, line: str) -> None:
    """`install` tells in a line what it is, how it got there, what that cost and where it is."""
    assert _report.installed_line(model) == line


def test_installed_facts() -> None:
    """The JSON of `install` has every fact of the model but the phases, the path as text."""
    assert json.loads(json.dumps(_report.installed_facts(FETCHED))) == {
        "name": "fr_tiny_sm",
        "version": "1.2.0",
        "sha256": SHA256,
        "source": "release",
        "path": "/env/fr_tiny_sm/fr_tiny_sm-1.2.0",
        "downloaded_bytes": 16_271_721,
        "seconds": 1.2346,
    }


@pytest.mark.parametrize(
    ("cell", "drawn"),
    [
        ("abc", "abc     |"),
        ("日本語", "日本語  |"),
        ("ﾊﾝ", "ﾊﾝ      |"),
        ("한국어", "한국어  |"),
        ("e\u0301te\u0301", "e\u0301te\u0301     |"),
        ("हिन्दी", "हिन्दी   |"),
        ("か\u3099", "か\u3099      |"),
    ],
    ids=["latin", "japanese", "halfwidth", "korean", "combining accents", "vowel signs", "voiced mark"],
)
def test_table_width(cell: str, drawn: str) -> None:
    """Columns stay aligned: wide signs take two columns, marks on the sign before them none."""
    head, row, _ = table(("token", "pos"), [(cell, "|"), ("123456", "|")])
    assert head == "token   pos"
    assert row == drawn


def test_table_empty_columns() -> None:
    """A column that is empty in every row is left out, head and all; one that is not stays."""
    rows = [("one", "", "", "x"), ("two", "", "y", "")]
    assert table(("a", "b", "c", "d"), rows) == ["a    c  d", "one     x", "two  y"]


def test_catalog_text() -> None:
    """The catalog is a table with the whole hash."""
    entries = [
        CatalogEntry(PIN, ">=3.8.0,<3.9.0", "MIT"),
        CatalogEntry(ModelPin("en_tiny_trf", "3.7.10", SHA256, size_mb=436), ">=3.7.0", "GNU GPL 3.0"),
    ]
    assert _report.catalog_text(entries).splitlines() == [
        "name         version  spaCy           size    license      sha256",
        f"en_tiny_sm   1.0.0    >=3.8.0,<3.9.0  12 MB   MIT          {SHA256}",
        f"en_tiny_trf  3.7.10   >=3.7.0         436 MB  GNU GPL 3.0  {SHA256}",
    ]


def test_entry_facts() -> None:
    """The JSON of `list --available` has the pin, the spaCy range and the license."""
    pin = ModelPin("ja_tiny_sm", "1.0.0", SHA256, requires=("sudachipy>=0.5.2",), size_mb=12)
    facts = _report.entry_facts(CatalogEntry(pin, ">=3.8.0,<3.9.0", "MIT"))
    assert json.loads(json.dumps(facts)) == {
        "name": "ja_tiny_sm",
        "version": "1.0.0",
        "sha256": SHA256,
        "url": URL.replace("en_", "ja_"),
        "requires": ["sudachipy>=0.5.2"],
        "size_mb": 12,
        "spacy": ">=3.8.0,<3.9.0",
        "license": "MIT",
    }


def test_inventory_text(tmp_path: Path) -> None:
    """What is installed is a table, with what is wrong in the place of "whole"."""
    items = [
        _installed(tmp_path, "en_tiny_sm", installer="modelboot"),
        _installed(tmp_path, "fr_tiny_sm", installer="", is_damaged=True),
    ]
    assert _report.inventory_text(items).splitlines() == [
        "name        version  state                            installer  folder",
        f"en_tiny_sm  1.0.0    whole                            modelboot  {tmp_path}",
        f"fr_tiny_sm  1.0.0    fr_tiny_sm/meta.json is missing  unknown    {tmp_path}",
    ]


def test_inventory_text_nothing() -> None:
    """Where nothing is installed, the next step is named."""
    assert _report.inventory_text([]) == (
        "no pipelines are installed; `modelboot list --available` shows which there are"
    )


@pytest.mark.parametrize("damage", [None, "en_tiny_sm/meta.json is missing"], ids=["whole", "damaged"])
def test_item_facts(tmp_path: Path, damage: str | None) -> None:
    """The JSON of `list` says whether it is whole, and if not, why."""
    facts = _report.item_facts(_installed(tmp_path, "en_tiny_sm", installer="pip", is_damaged=damage is not None))
    assert json.loads(json.dumps(facts)) == {
        "name": "en_tiny_sm",
        "version": "1.0.0",
        "installer": "pip",
        "folder": str(tmp_path),
        "sha256": SHA256,
        "damage": damage,
        "whole": damage is None,
    }


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
    assert _report.PIN_FORMATS[form](PIN) == line


def test_pin_facts_without_secrets() -> None:
    """The JSON of a pin has its URL without a password."""
    url = "https://me:secret@example.org/en_tiny_sm-1.0.0-py3-none-any.whl?token=secret"
    facts = _report.pin_facts(ModelPin("en_tiny_sm", "1.0.0", SHA256, url=url))
    assert facts["url"] == "https://example.org/en_tiny_sm-1.0.0-py3-none-any.whl"
    assert "secret" not in json.dumps(facts)


def _installed(folder: Path, name: str, *, installer: str, is_damaged: bool = False) -> Installed:
    """Install the least that counts as a model, of version 1.0.0, and lose a file of it if it is to be damaged."""
    dist_info = folder / f"{name}-1.0.0.dist-info"
    dist_info.mkdir()
    (dist_info / "INSTALLER").write_text(installer)
    (dist_info / "direct_url.json").write_text(json.dumps({"archive_info": {"hashes": {"sha256": SHA256}}}))
    (dist_info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/meta.json,,2\n{dist_info.name}/RECORD,,\n")
    (folder / name).mkdir()
    (folder / name / "meta.json").write_text("{}")
    if is_damaged:
        (folder / name / "meta.json").unlink()
    return Installed(name, Target("environment", folder), dist_info)
