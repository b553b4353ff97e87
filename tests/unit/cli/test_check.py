"""A trial installs, loads and uses a model, and tells what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest
from spacy.about import __version__ as spacy_version

from modelboot import ModelPin, get_nlp
from modelboot._catalog import catalog
from modelboot.cli.check import Token, example_sentence, trial
from support.sources import publish
from support.wheels import build_wheel

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
    assert borrowed == ["de", "mk", "xx"]  # the multi-language sentences begin with a German one


def test_example_sentence_unknown_language() -> None:
    """A language spaCy knows nothing of gets the multi-language sentence."""
    assert example_sentence("tlh") == example_sentence("xx")


def test_trial_cold(tiny_pin: ModelPin, target: Path) -> None:
    """A trial of a model that is not there names every phase and every token."""
    result = trial(tiny_pin)
    assert [phase for phase, _ in result.phases] == ["find", "lock", "fetch", "unpack", "publish", "load", "parse"]
    assert min(seconds for _, seconds in result.phases) >= 0
    assert (result.installed.source, result.installed.path.parent) == ("release", target / "en_tiny_sm")
    assert (result.spacy, result.pipeline) == (spacy_version, ("sentencizer",))
    assert result.sentence == example_sentence("en")
    assert result.tokens[0] == Token(text="Apple", pos="", tag="", dep="", entity="")
    assert "".join(token.text for token in result.tokens) == result.sentence.replace(" ", "")


def test_trial_warm(tiny_pin: ModelPin) -> None:
    """A trial of a model that is there skips the phases of the install and uses the object of `get_nlp`."""
    trial(tiny_pin)
    result = trial(tiny_pin)
    assert [phase for phase, _ in result.phases] == ["find", "load", "parse"]
    assert result.installed.source == "present"
    get_nlp(tiny_pin)
    assert get_nlp.cache_info().misses == 1


def test_trial_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A pipeline made for an older spaCy is warned of once, although it is both installed and loaded."""
    publish(monkeypatch, tmp_path / "mirror", build_wheel(tmp_path), spacy_range=">=3.1,<3.2")
    trial("en_tiny_sm")
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"en_tiny_sm 1.0.0 was made for spaCy >=3.1,<3.2; {spacy_version} is installed"]
