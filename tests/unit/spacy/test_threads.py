"""Threads that load at once: none sees half a package, and none waits for ever, whatever a pipeline's code asks for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import spacy

from modelboot import LoadError, ModelPin, ensure_model, get_nlp
from support.wheels import Tampering, build_wheel

HUNG_AFTER_S = 30


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
