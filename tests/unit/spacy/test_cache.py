"""`get_nlp` behaves as a cached function does: one object a model, however it is spelled, for every thread.

Of threads that load at once none sees half a package, and none waits for ever, whatever a pipeline's code asks for.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import spacy

from modelboot import DownloadError, LoadError, ModelPin, SettingsError, ensure_model, get_nlp, load
from support.sources import publish
from support.wheels import Tampering, build_wheel

if TYPE_CHECKING:
    from spacy.language import Language

HUNG_AFTER_S = 30
BOTH = pytest.mark.parametrize("function", [get_nlp, load], ids=["get_nlp", "load"])


@pytest.mark.parametrize(
    "spell",
    [list, tuple, set, frozenset, iter, dict.fromkeys, lambda names: (name for name in names)],
    ids=["list", "tuple", "set", "frozenset", "iterator", "dict", "generator"],
)
def test_get_nlp_spelling_of_names(tiny_pin: ModelPin, spell: Callable[[list[str]], Iterable[str]]) -> None:
    """Any iterable of the same names is the same call, in any order and with names said twice; none is no choice."""
    first = get_nlp(tiny_pin, exclude=("sentencizer", "absent"))
    assert get_nlp(tiny_pin, exclude=spell(["absent", "sentencizer", "absent"])) is first
    assert first.component_names == []
    assert get_nlp(tiny_pin, exclude=spell([])) is get_nlp(tiny_pin, exclude=()) is get_nlp(tiny_pin)
    assert get_nlp.cache_info() == (3, 2, None, 2)


@pytest.mark.parametrize(
    ("options", "running", "disabled"),
    [
        ({"disable": "sentencizer"}, [], ["sentencizer"]),
        ({"exclude": "sentencizer"}, [], []),
        ({"enable": "sentencizer"}, ["sentencizer"], []),
        ({"enable": "absent"}, [], ["sentencizer"]),
    ],
    ids=["disable", "exclude", "enable", "enable another"],
)
def test_get_nlp_components(
    tiny_pin: ModelPin, options: dict[str, Any], running: list[str], disabled: list[str]
) -> None:
    """Another choice of components is another object, with what was chosen; one name is that name, not its letters."""
    plain, chosen = get_nlp(tiny_pin), get_nlp(tiny_pin, **options)
    assert chosen is not plain
    assert (chosen.pipe_names, chosen.disabled) == (running, disabled)
    assert (plain.pipe_names, plain.disabled) == (["sentencizer"], [])
    listed: dict[str, Any] = {option: [name] for option, name in options.items()}
    assert get_nlp(tiny_pin, **listed) is chosen


def test_get_nlp_spelling_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, the name, also with its version, and pins of the same wheel, whatever else they say, are one model."""
    wheel = build_wheel(tmp_path / "wheels", name="en_core_web_sm", version="3.8.0")
    publish(monkeypatch, tmp_path / "mirror", wheel)
    nlp, pin = get_nlp(), wheel.pin_at(None)
    equal = replace(pin, sha256=pin.sha256.upper(), url="https://example.org/en_core_web_sm-3.8.0.whl", size_mb=1)
    others: list[str | ModelPin] = ["en_core_web_sm", "en_core_web_sm==3.8.0", " en_core_web_sm == 3.8.0 ", pin, equal]
    assert [get_nlp(spelling) is nlp for spelling in others] == [True] * 5
    assert (nlp.meta["name"], nlp.meta["version"]) == ("core_web_sm", "3.8.0")
    assert get_nlp.cache_info()[1:] == (1, None, 1)


def test_cache_info_as_lru_cache(tiny_pin: ModelPin, web_pin: ModelPin) -> None:
    """The figures are those an lru_cache gives for the same calls, failing ones among them; clearing forgets all."""
    assert get_nlp.cache_info()._fields == functools.cache(len).cache_info()._fields
    for pin in (replace(web_pin, name="af_absent"), replace(web_pin, name="af_absent")):
        with pytest.raises(DownloadError):
            get_nlp(pin)
    first = get_nlp(tiny_pin)
    assert get_nlp(tiny_pin) is get_nlp(tiny_pin) is first
    assert get_nlp.cache_info() == (2, 3, None, 1)
    get_nlp.cache_clear()
    assert get_nlp.cache_info() == (0, 0, None, 0)
    assert get_nlp(tiny_pin) is not first


def test_get_nlp_while_another_thread_hangs(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for one whose load does not end is told so at the deadline."""
    entered, end, spacy_load = threading.Event(), threading.Event(), spacy.load

    def held_up(path: Path, **options: Any) -> Language:  # noqa: ANN401 - whatever spaCy takes
        entered.set()
        end.wait(HUNG_AFTER_S)
        return spacy_load(path, **options)

    monkeypatch.setattr(spacy, "load", held_up)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get_nlp, tiny_pin)
        assert entered.wait(HUNG_AFTER_S)
        monkeypatch.setenv("MODELBOOT_DEADLINE", "0.2")
        with pytest.raises(LoadError, match=r"could not load .* another thread has been getting it for 0\.2 s"):
            get_nlp(tiny_pin)
        end.set()
    assert get_nlp(tiny_pin) is first.result()


def test_get_nlp_type_error_of_spacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spaCy raises for a pipeline of the caller's own comes out as it is, after one try."""
    refuse = Mock(side_effect=TypeError("no such thing"))
    monkeypatch.setattr(spacy, "load", refuse)
    for exclude in ((), ["ner"]):
        with pytest.raises(TypeError, match="no such thing"):
            get_nlp(tmp_path, exclude=exclude)
    assert refuse.call_count == 2


@BOTH
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("model", value) for value in (3, None, b"en_core_web_sm", ["en_core_web_sm"])),
        *(("disable", 3), ("enable", None), ("exclude", b"ner"), ("disable", ["ner", 3]), ("enable", [["ner"]])),
    ],
)
def test_misuse(
    function: Callable[..., Language], tiny_pin: ModelPin, argument: str, value: object, target: Path
) -> None:
    """Anything but a name or a pin, and a component's name or names, is refused before anything is fetched."""
    accepted = "a name, name==version or a ModelPin" if argument == "model" else "a component's name or several"
    with pytest.raises(SettingsError, match=f"is not {accepted}") as caught:
        function(value) if argument == "model" else function(tiny_pin, **{argument: value})
    assert (caught.value.variable, caught.value.value) == (argument, repr(value))
    assert not target.exists()


# --- threads


class Asking:
    """What the packages below import as a module: where their threads meet, and what they ask for."""

    def __init__(self, threads: int) -> None:
        """Know no pipelines yet."""
        self.pins: dict[str, ModelPin] = {}
        self._barrier, self._met = threading.Barrier(threads), {0}

    def meet(self) -> None:
        """Wait for the other threads, once each."""
        if threading.get_ident() not in self._met:
            self._met.add(threading.get_ident())
            self._barrier.wait(HUNG_AFTER_S)

    def ask(self, name: str) -> str:
        """Ask for a pipeline."""
        return str(get_nlp(self.pins[name]).meta["name"])


def pin_of(folder: Path, name: str, code: str) -> ModelPin:
    """Build and install a pipeline whose package runs some code."""
    package = {f"{name}/__init__.py": code.encode()}
    pin = build_wheel(folder, name=name, lang="af", tampering=Tampering(extra=package)).pin
    ensure_model(pin)
    return pin


def at_once(*works: Callable[[], object]) -> list[object]:
    """Do each work in a thread of its own; return what each gave, or how it failed to load."""
    answers: dict[int, object] = {}

    def answer(number: int, work: Callable[[], object]) -> None:
        try:
            answers[number] = work()
        except LoadError as error:
            answers[number] = error

    threads = [threading.Thread(target=answer, args=item, daemon=True) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HUNG_AFTER_S)
    assert answers.keys() == {*range(len(works))}
    return [answers[number] for number in range(len(works))]


def test_choices_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that choose other components of one pin all get it: each waits for the end of the package's own code."""
    code = "import threading\nthreading.Event().wait(0.3)  # so that the others come meanwhile\nIS_DONE = True\n"
    pin = pin_of(tmp_path, "af_slow", code)
    spacy_load, is_done = spacy.load, []

    def load(path: Path, **options: Any) -> object:  # noqa: ANN401 - whatever spaCy takes
        is_done.append(hasattr(sys.modules["af_slow"], "IS_DONE"))
        return spacy_load(path, **options)

    monkeypatch.setattr(spacy, "load", load)
    choices: list[dict[str, Any]] = [{}, {"disable": "sentencizer"}, {"exclude": "sentencizer"}]
    answers = at_once(*[lambda choice=choice: get_nlp(pin, **choice).component_names for choice in choices])
    assert answers == [["sentencizer"], ["sentencizer"], []]
    assert is_done == [True] * 3


ONE, TWO = (f"import asking\nasking.meet()\nasking.ask('{name}')\n" for name in ("af_one", "af_two"))
LIBRARY = "import asking\nasking.meet()\nimport library\n"


@pytest.mark.parametrize(
    ("packages", "asked"),
    [
        ({"af_one": ONE}, ["af_one"]),
        ({"af_one": TWO, "af_two": ONE}, ["af_one"]),
        ({"af_one": TWO, "af_two": ONE}, ["af_one", "af_two"]),
        ({"af_one": LIBRARY}, ["af_one", "library"]),
    ],
    ids=["itself", "one another", "one another, in two threads", "through a library"],
)
def test_pipelines_that_ask_for_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: Mapping[str, str], asked: list[str]
) -> None:
    """Pipelines whose code asks for themselves or one another are loaded or are errors; none waits for itself.

    So is one that imports a library that asks for it at its own import.
    """
    asking = Asking(len(asked))
    monkeypatch.setitem(sys.modules, "asking", asking)
    asking.pins = {name: pin_of(tmp_path, name, code) for name, code in packages.items()}
    (tmp_path / "library.py").write_text(ONE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MODELBOOT_DEADLINE", str(HUNG_AFTER_S / 2) if len(asked) == 1 else "1")

    def ask(name: str) -> str:
        if name == "library":
            __import__(name)
        return asking.ask("af_one" if name == "library" else name)

    answers = at_once(*[lambda name=name: ask(name) for name in asked])
    failed = [answer for answer in answers if answer not in {"one", "two"}]
    assert [error for error in failed if not isinstance(error, LoadError)] == []
    assert len(asked) == 2 or "another thread" not in "".join(map(str, failed))
