"""The sentence that `check` tries a model with: one in the model's own language."""

from __future__ import annotations

import pytest

from modelboot._catalog import catalog
from modelboot.cli.check import example_sentence

LANGUAGES = sorted({entry.pin.name.partition("_")[0] for entry in catalog()})


@pytest.mark.parametrize("language", LANGUAGES)
def test_example_sentence_of_an_official_language(language: str) -> None:
    """Every language with an official pipeline has a sentence of its own on one line; Macedonian alone borrows one."""
    sentence = example_sentence(language)
    assert len(sentence) >= 10
    assert sentence == " ".join(sentence.split())
    assert (sentence == example_sentence("xx")) == (language in {"mk", "xx"})


@pytest.mark.parametrize(
    ("language", "start"),
    [
        ("en", "Who is the president of France?"),
        ("fr", "Qui est le président de la France ?"),
        ("ja", "アップル"),  # words that no blank parts cannot be counted: the first sentence
        ("tlh", "El pingüino"),  # a language that spaCy does not know
    ],
)
def test_example_sentence_is_one(language: str, start: str) -> None:
    """Neither the headline that most lists begin with nor a fragment: the shortest of six words or more."""
    assert example_sentence(language).startswith(start)
