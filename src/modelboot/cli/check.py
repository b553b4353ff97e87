"""What `modelboot check` does: ensure, load, parse a sentence of the model's own language, and time each part."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass

from modelboot._catalog import resolve
from modelboot._install.ensure import InstalledModel, ensure_model
from modelboot._pin import ModelPin
from modelboot._spacy.cache import get_nlp


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a pipeline says of one token; empty where it says nothing."""

    text: str
    pos: str
    tag: str
    dep: str
    entity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A model that was installed, loaded and used."""

    installed: InstalledModel
    spacy: str
    """Version of spaCy that loaded it."""
    pipeline: tuple[str, ...]
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part, those of the install first."""
    sentence: str
    tokens: tuple[Token, ...]


def trial(model: str | ModelPin) -> Trial:
    """Install, load and use a model.

    Args:
        model: A catalog name, a name with a version, or a pin.

    Returns:
        What was found, and what it took.

    Raises:
        ModelbootError: It could not be installed or loaded.
    """
    pin = resolve(model)  # once, or what it warns of would be told twice
    installed = ensure_model(pin)
    started = time.perf_counter()
    nlp = get_nlp(pin, (), (), ())
    loaded = time.perf_counter()
    sentence = example_sentence(str(nlp.lang))
    doc = nlp(sentence)
    parsed = time.perf_counter()
    return Trial(
        installed=installed,
        spacy=importlib.import_module("importlib.metadata").version("spacy"),
        pipeline=tuple(nlp.pipe_names),
        phases=(*installed.phases, ("load", loaded - started), ("parse", parsed - loaded)),
        sentence=sentence,
        tokens=tuple(
            Token(text=token.text, pos=token.pos_, tag=token.tag_, dep=token.dep_, entity=token.ent_type_)
            for token in doc
        ),
    )


def example_sentence(language: str) -> str:
    """Return the first example sentence spaCy ships for a language; the multi-language one where it ships none."""
    for code in (language, "xx"):
        try:
            examples = importlib.import_module(f"spacy.lang.{code}.examples")
        except ModuleNotFoundError:  # Macedonian, among the official pipelines
            continue
        return " ".join(str(examples.sentences[0]).split())
    message = "spaCy ships no example sentences"
    raise AssertionError(message)
