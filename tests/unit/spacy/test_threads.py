"""Threads that load at once: none sees half a package, and none waits for ever, whatever a pipeline's code asks for.

Each scene runs in a process of its own, which shows the stacks of all its threads and ends when it takes too long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelboot import LoadError
from modelboot._limits import Deadline
from modelboot._spacy.turns import Turns
from support.children import python
from support.wheels import Tampering, build_wheel

HUNG_AFTER_S = 60
PRELUDE = f"""
import faulthandler, json, sys, threading
faulthandler.dump_traceback_later({HUNG_AFTER_S}, exit=True)
from modelboot import ModelPin, get_nlp

pins = {{name: ModelPin(name, "1.0.0", sha256, url=url) for name, (sha256, url) in json.loads(sys.argv[1]).items()}}
answers = {{}}

def ask(thread, work):
    try:
        answers[thread] = str(work())
    except Exception as error:
        answers[thread] = f"{{type(error).__name__}}: {{error}}"

def at_once(*works):
    threads = [threading.Thread(target=ask, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([answers[thread] for thread in range(len(threads))]))
"""
META = "from spacy.util import get_model_meta\n"


def _run(folder: Path, code: str, packages: Mapping[str, str], modules: Mapping[str, str] | None = None) -> list[str]:
    """Run a scene with pipelines whose packages run some code, and modules that can be imported."""
    pins = {}
    for name, body in packages.items():
        wheel = build_wheel(folder, name=name, tampering=Tampering(extra={f"{name}/__init__.py": body.encode()}))
        pins[name] = (wheel.sha256, wheel.url)
    library = folder / "library"
    library.mkdir()
    for name, body in (modules or {}).items():
        (library / f"{name}.py").write_text(body, "utf-8")
    env = {"PYTHONPATH": str(library), "MODELBOOT_INDEX": "0"}
    done = python(PRELUDE + code, json.dumps(pins), env=env)
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


SLOW = """
import threading
from spacy.language import Language
threading.Event().wait(0.5)

@Language.component("slow_part")
def slow_part(doc):
    return doc
"""


def test_two_choices_at_once(tmp_path: Path) -> None:
    """Two threads that choose other components of one pin both get it: the second waits for the package's own code."""
    code = """
import spacy
really_load, seen = spacy.load, []
def load(folder, **options):
    seen.append(spacy.Language.has_factory("slow_part"))
    return really_load(folder, **options)
spacy.load = load
def factories(**choice):
    return get_nlp(pins["en_slow"], **choice).meta["version"], all(seen)
choices = {}, {"disable": "sentencizer"}, {"exclude": "sentencizer"}
at_once(*[lambda choice=choice: factories(**choice) for choice in choices])
"""
    assert _run(tmp_path, code, {"en_slow": SLOW}) == ["('1.0.0', True)"] * 3


def test_pipelines_that_ask_for_one_another(tmp_path: Path) -> None:
    """Two pipelines whose code asks for one another, in two threads, are both loaded."""
    body = "import meeting\nmeeting.both_here()\nmeeting.get(%r)\n"
    meeting = """
import threading
barrier, met = threading.Barrier(2), []
def both_here():
    if len(met) < 2:
        met.append(1)
        barrier.wait(30)
def get(name):
    import __main__
    __main__.get_nlp(__main__.pins[name])
"""
    code = (
        'import spacy, meeting\nat_once(*[lambda n=n: get_nlp(pins[n]).meta["name"] for n in ("en_one", "en_two")])\n'
    )
    packages = {"en_one": META + body % "en_two", "en_two": META + body % "en_one"}
    assert _run(tmp_path, code, packages, {"meeting": meeting}) == ["one", "two"]


def test_library_that_asks_at_import(tmp_path: Path) -> None:
    """A library that asks at import for a pipeline that imports that library is imported, and so is the pipeline."""
    meeting = "import threading\nin_library, in_package = threading.Event(), threading.Event()\n"
    asking = """
import __main__, meeting
meeting.in_library.set()
meeting.in_package.wait(30)
NLP = __main__.get_nlp(__main__.pins["en_one"])
"""
    package = f"{META}import meeting\nmeeting.in_package.set()\nmeeting.in_library.wait(30)\nimport asking\n"
    code = """
import spacy, meeting
def library():
    import asking
    return asking.NLP.meta["name"]
def pipeline():
    return get_nlp(pins["en_one"]).meta["name"]
at_once(library, pipeline)
"""
    assert _run(tmp_path, code, {"en_one": package}, {"meeting": meeting, "asking": asking}) == ["one", "one"]


def test_thread_that_never_ends_its_turn(tmp_path: Path) -> None:
    """Whoever waits for a thread that hangs in a pipeline's own code is told so at the deadline."""
    package = f"{META}import meeting\nmeeting.here.set()\nmeeting.end.wait(50)\n"
    meeting = "import threading\nhere, end = threading.Event(), threading.Event()\n"
    code = """
import os, spacy, meeting
os.environ["MODELBOOT_DEADLINE"] = "1.5"
def second():
    meeting.here.wait(30)
    try:
        get_nlp(pins["en_one"])
    finally:
        meeting.end.set()
at_once(lambda: get_nlp(pins["en_one"]).meta["name"], second)
"""
    first, second = _run(tmp_path, code, {"en_one": package}, {"meeting": meeting})
    assert first == "one"
    reason = "another thread has been loading it for 1.5 s"
    assert second.splitlines()[0] == f"LoadError: could not load en_one 1.0.0: {reason}"


def test_turn_is_given_back_after_an_error() -> None:
    """A block that fails does not keep others waiting."""
    turns = Turns()
    with pytest.raises(ValueError, match="failed"), turns.turn("key", "en_one 1", Deadline.after(1)):
        raise ValueError("failed")
    with turns.turn("key", "en_one 1", Deadline.after(1)), turns.turn("key", "en_one 1", Deadline.after(1)):
        pass  # the same thread may ask again


def test_turn_not_to_be_had() -> None:
    """The turn of another thread that does not end is a LoadError at the deadline."""
    import threading

    turns, taken, end = Turns(), threading.Event(), threading.Event()

    def hold() -> None:
        with turns.turn("key", "en_one 1", Deadline.after(30)):
            taken.set()
            end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(30)
    with (
        pytest.raises(LoadError, match=r"could not load en_one 1: another thread has been loading it for 0\.2 s"),
        turns.turn("key", "en_one 1", Deadline.after(0.2)),
    ):
        pass
    end.set()
    thread.join()
