"""Forms of a call of `spacy.load`, and what comes of one: to compare `modelboot.load` with it, here or in a child."""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language

TEXT = "One sentence. And another one."
FORMS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "disable": {"disable": ["sentencizer"]},
    "disable, one name": {"disable": "sentencizer"},
    "disable, nothing": {"disable": []},
    "enable": {"enable": ["sentencizer"]},
    "enable, nothing": {"enable": []},
    "enable, another": {"enable": "absent"},
    "exclude": {"exclude": ["sentencizer"]},
    "config, nested": {"config": {"nlp": {"batch_size": 7}}},
    "config, dotted": {"config": {"components.sentencizer.punct_chars": ["e"]}},
    "vocab": {"vocab": True},
    "contradiction": {"enable": "sentencizer", "disable": "sentencizer"},
    "config that does not exist": {"config": {"components.absent.x": 1}},
}


def outcome(call: Callable[..., Language], model: object, options: dict[str, Any]) -> list[object]:
    """Return what a call gives: pipes, sentences and settings, or that it failed; and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            nlp = call(model, **options)
        except (OSError, ValueError, KeyError):
            result: object = "failed"
        else:
            sentences = [str(sentence) for sentence in nlp(TEXT).sents] if nlp.pipe_names else []
            result = [nlp.pipe_names, nlp.disabled, nlp.component_names, nlp.batch_size, nlp.meta["version"], sentences]
    return [result, [str(warning.message) for warning in caught if "ResourceWarning" not in str(warning.category)]]


def found_by_name(name: str) -> list[object]:
    """Return what spaCy, the import system and its metadata find under the name of an installed pipeline."""
    spacy: Any = importlib.import_module("spacy")  # some of these it exports without saying so
    return [
        spacy.load(name).meta["version"],
        spacy.util.is_package(name),
        importlib.import_module(name).load().meta["version"],
        importlib.metadata.version(name),
        name in spacy.util.get_installed_models(),
        spacy.info()["pipelines"].get(name),
    ]
