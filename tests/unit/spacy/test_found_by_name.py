"""After an install the model is found by its name in this process, and by others with `modelboot env`."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import pin_arguments, python

FOUND = """
import json, sys
if sys.argv[5] == "early":
    import spacy
import modelboot
from support.forms import found_by_name
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
getattr(modelboot, sys.argv[6])(pin)
print(json.dumps(found_by_name(pin.name)))
"""
EVERY_RUN = {("early", "ensure_model", "store"), ("late", "ensure_model", "target")}
"""`load` is tried in each place by promises/test_twin; `get_nlp` finds and registers what it loads as `load` does."""
PRODUCT = itertools.product(["early", "late"], ["ensure_model", "load", "get_nlp"], ["target", "store"])
CASES = [pytest.param(*case, marks=() if case in EVERY_RUN else pytest.mark.exhaustive) for case in PRODUCT]


@pytest.mark.parametrize(("spacy_imported", "function", "place"), CASES)
def test_found_by_name(tiny_pin: ModelPin, target: Path, spacy_imported: str, function: str, place: str) -> None:
    """spaCy, the import system and its metadata find the model, wherever it was put and whenever spaCy was imported."""
    if place == "store":
        (target / f"{tiny_pin.name}-0.1.dist-info").mkdir(parents=True)  # of another program, whose folder this is
    done = python(FOUND, *pin_arguments(tiny_pin), spacy_imported, function, env={"MODELBOOT_TARGET": str(target)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["1.0.0", True, "1.0.0", "1.0.0", True, "1.0.0"]
    assert (target / tiny_pin.name).exists() == (place == "target")


def test_env_for_other_programs(pin: ModelPin, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that has run the line of `modelboot env` starts programs that find the model."""
    ensure_model(pin)
    sys.path.remove(str(target))  # as in a new process
    assert main(["env"]) == 0
    line = capsys.readouterr().out
    code = f"import {pin.name}; print({pin.name}.__version__)"
    script = f"PYTHONPATH=/absent; {line}\n{shlex.join([sys.executable, '-c', code])}; echo $PYTHONPATH"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.stdout == f"1.0.0\n/absent:{target}\n", done.stderr
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"PYTHONPATH": [str(target)]}
    assert main(["env", "--shell", "fish"]) == 0
    assert capsys.readouterr().out == f"set -gx PYTHONPATH $PYTHONPATH '{target}'\n"
