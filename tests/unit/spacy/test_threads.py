"""Threads that load at once: none sees half a package, and none waits for ever, whatever a pipeline's code asks for.

Each scene runs in a process of its own, which shows the stacks of all its threads and ends when it takes too long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.children import STUB_SPACY, python
from support.wheels import Tampering, build_wheel

HUNG_AFTER_S = 60
PRELUDE = f"""
import faulthandler, json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
faulthandler.dump_traceback_later({HUNG_AFTER_S}, exit=True)
import spacy
from modelboot import ModelPin, ensure_model, get_nlp

pins = {{name: ModelPin(name, "1.0.0", sha256, url=url) for name, (sha256, url) in json.loads(sys.argv[1]).items()}}
met = set()
for pin in pins.values():
    ensure_model(pin)
os.environ["MODELBOOT_DEADLINE"] = sys.argv[2]

def name_of(pipeline):
    return get_nlp(pins[pipeline]).meta["name"]

def library():
    import asking
    return name_of("en_one")

def meet():
    "Wait for the other threads, once each."
    if threading.get_ident() not in met:
        met.add(threading.get_ident())
        meeting.wait(30)

def ask(work):
    try:
        return str(work())
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

def at_once(*works):
    global meeting
    meeting = threading.Barrier(len(works))
    with ThreadPoolExecutor(len(works)) as pool:
        print(json.dumps([*pool.map(ask, works)]))
"""
MEET = "import __main__\n__main__.meet()\n"
ONE, TWO = (f"{MEET}__main__.name_of('{name}')\n" for name in ("en_one", "en_two"))
"""Code that asks for a pipeline, at the same time as the other threads."""


def run(folder: Path, code: str, packages: Mapping[str, str], *, deadline_s: float = 1) -> list[str]:
    """Run a scene with pipelines whose packages run some code; return what each thread got."""
    pins = {}
    for name, body in packages.items():
        wheel = build_wheel(folder, name=name, tampering=Tampering(extra={f"{name}/__init__.py": body.encode()}))
        pins[name] = (wheel.sha256, wheel.url)
    env = {"PYTHONPATH": f"{STUB_SPACY['PYTHONPATH']}:{folder}"}
    done = python(PRELUDE + code, json.dumps(pins), str(deadline_s), env=env)
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def test_two_choices_at_once(tmp_path: Path) -> None:
    """Threads that choose other components of one pin all get it: each waits for the end of the package's own code."""
    package = "import threading\nthreading.Event().wait(0.3)  # so that the others come meanwhile\nIS_DONE = True\n"
    code = """
really_load, is_done = spacy.load, []
def load(folder, **options):
    is_done.append(hasattr(sys.modules["en_slow"], "IS_DONE"))
    return really_load(folder, **options)
spacy.load = load
def chosen(**choice):
    return get_nlp(pins["en_slow"], **choice).pipe_names, all(is_done)
choices = {}, {"disable": ["sentencizer"]}, {"exclude": ["sentencizer"]}
at_once(*[lambda choice=choice: chosen(**choice) for choice in choices])
"""
    answers = run(tmp_path, code, {"en_slow": package}, deadline_s=HUNG_AFTER_S)
    assert answers == ["(['sentencizer'], True)", "([], True)", "([], True)"]


@pytest.mark.parametrize(
    ("packages", "works"),
    [
        ({"en_one": TWO, "en_two": ONE}, ["name_of('en_one')", "name_of('en_two')"]),
        ({"en_one": f"{MEET}import asking\n"}, ["name_of('en_one')", "library()"]),
    ],
    ids=["one another", "through a library"],
)
def test_pipelines_that_ask_for_one_another(tmp_path: Path, packages: Mapping[str, str], works: list[str]) -> None:
    """Pipelines whose code asks for one another, in two threads, are loaded or are errors within the deadline.

    So is one that imports a library that asks for it at its own import.
    """
    (tmp_path / "asking.py").write_text(ONE, "utf-8")
    answers = run(tmp_path, f"at_once(*[lambda work=work: eval(work) for work in {works}])", packages)
    assert len(answers) == len(works)
    assert [each for each in answers if not re.match(r"(?:one|two)$|LoadError: could not load en_", each)] == []
