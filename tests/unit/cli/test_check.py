"""A check installs, loads and uses a model, and tells what it saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from spacy.about import __version__ as spacy_version

from modelboot import InstalledModel, ModelPin, get_nlp
from modelboot._catalog import catalog
from modelboot.cli.check import CheckReport, Token, check_model, example_sentence
from modelboot.cli.commands import check_facts
from modelboot.cli.output import to_json
from support.sources import publish
from support.wheels import build_wheel

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
REPORT = CheckReport(
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
REPORT_TEXT = """\
fr_tiny_sm 1.2.0
  pipeline  tagger, ner
  spaCy     3.8.1
  source    release, 16.3 MB
  sha256    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  folder    /env
  seconds   find 0.00, lock 0.00, fetch 1.00, unpack 0.20, publish 0.03, load 0.50, parse 0.01

  Apple cherche

  token    pos    tag  entity
  Apple    PROPN  NNP  ORG
  cherche  VERB   VB"""
LANGUAGES = sorted({entry.pin.name.partition("_")[0] for entry in catalog()})


@pytest.mark.parametrize("language", LANGUAGES)
def test_example_sentence_official_language(language: str) -> None:
    """Every language with an official pipeline has a sentence that fits on a line."""
    sentence = example_sentence(language)
    assert len(sentence) >= 10
    assert sentence == " ".join(sentence.split())


def test_example_sentence_own_language() -> None:
    """The sentences are in the languages asked for: only Macedonian, for which spaCy ships none, borrows one."""
    borrowed = [language for language in LANGUAGES if example_sentence(language) == example_sentence("xx")]
    assert borrowed == ["mk", "xx"]


def test_example_sentence_unknown_language() -> None:
    """A language spaCy knows nothing of gets the multi-language sentence."""
    assert example_sentence("tlh") == example_sentence("xx")


def test_example_sentence_is_one() -> None:
    """Neither the headline most lists begin with nor a fragment: the shortest of six words or more."""
    assert example_sentence("en") == "Who is the president of France?"
    assert example_sentence("fr") == "Qui est le président de la France ?"
    assert example_sentence("ja").startswith("アップル")  # words that no blank parts cannot be counted: the first


def test_report_tells_tags_only_where_they_say_more() -> None:
    """Where each tag is the part of speech again there is no column of them."""
    tokens = tuple(replace(token, tag=token.pos) for token in REPORT.tokens)
    assert "  token    pos    entity\n" in replace(REPORT, tokens=tokens).text()


def test_check_cold(tiny_pin: ModelPin, target: Path) -> None:
    """A check of a model that is not there names every phase and every token."""
    result = check_model(tiny_pin)
    assert [phase for phase, _ in result.phases] == ["find", "lock", "fetch", "unpack", "publish", "load", "parse"]
    assert min(seconds for _, seconds in result.phases) >= 0
    assert (result.installed.source, result.installed.path.parent) == ("release", target / "en_tiny_sm")
    assert (result.spacy, result.pipeline) == (spacy_version, ("sentencizer",))
    assert result.sentence == example_sentence("en")
    assert result.tokens[0] == Token(text="Who", pos="", tag="", dep="", entity="")
    assert "".join(token.text for token in result.tokens) == result.sentence.replace(" ", "")


def test_check_warm(tiny_pin: ModelPin) -> None:
    """A check of a model that is there skips the phases of the install and uses the object of `get_nlp`."""
    check_model(tiny_pin)
    result = check_model(tiny_pin)
    assert [phase for phase, _ in result.phases] == ["find", "load", "parse"]
    assert result.installed.source == "present"
    get_nlp(tiny_pin)
    assert get_nlp.cache_info().misses == 1


def test_check_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline made for an older spaCy is warned of once, although it is both installed and loaded."""
    publish(monkeypatch, tmp_path / "mirror", build_wheel(tmp_path), spacy_range=">=3.1,<3.2")
    check_model("en_tiny_sm")
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"en_tiny_sm 1.0.0 was made for spaCy >=3.1,<3.2; {spacy_version} is installed"]


def test_report_text_complete() -> None:
    """The report of `check` is this text, to the character."""
    assert REPORT.text() == REPORT_TEXT


def test_check_facts() -> None:
    """The JSON of `check` has the facts of the install and the parsed tokens; seconds are told by phase."""
    assert json.loads(to_json(check_facts(REPORT))) == {
        "name": "fr_tiny_sm",
        "version": "1.2.0",
        "sha256": SHA256,
        "verified": True,
        "source": "release",
        "path": "/env/fr_tiny_sm/fr_tiny_sm-1.2.0",
        "downloaded_bytes": 16_271_721,
        "seconds": 1.741,
        "phases": {
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
