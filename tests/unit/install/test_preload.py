"""A cold load imports spaCy and the pipeline's language while the wheel travels, and no other call does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelboot import ModelPin
from support.children import STUB_SPACY, TESTS, pin_arguments, python
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

WATCH = """
import sys, threading
from modelboot import ModelPin, ensure_model, get_nlp, load
by_caller = {}
class Watch:
    def find_spec(name, path=None, target=None):
        by_caller.setdefault(name, threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Watch)
pin = ModelPin(*sys.argv[1:4], url=sys.argv[4])
"""
COLD = "{call}(pin); print(by_caller['spacy'], by_caller['spacy.lang.en'])"
WARM = "ensure_model(pin); print('spacy' in by_caller); get_nlp(pin); print(by_caller['spacy'])"
ENSURE = "print(ensure_model(pin).source, by_caller['installer'])"
FAIL = "try: get_nlp(pin)\nexcept OSError as error: print(type(error).__name__, 'spacy' in by_caller)"
REASON = "try: get_nlp(pin)\nexcept OSError as error: print(error.reason)\nprint(ensure_model(pin).source)"
WRONG = """
try: get_nlp(pin)
except OSError as error: print(type(error).__name__, 'IS_OVER' in vars(sys.modules.get('spacy', sys)))
"""
IMPORTING = """\
import sys
from modelboot import ModelPin, get_nlp
nlp = get_nlp(ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that children import from first: it has the stub of spaCy, with a language."""
    stub = shutil.copytree(TESTS / "support" / "stub", tmp_path / "stub")
    (stub / "spacy" / "lang" / "en").mkdir(parents=True)
    return stub


def said(folder: Path, script: str, pin: ModelPin, **env: str) -> list[str]:
    """Run a script, and return the lines it printed."""
    path = os.pathsep.join([str(folder), str(STUB_SPACY["PYTHONPATH"])])
    return python(WATCH + script, *pin_arguments(pin), env={"PYTHONPATH": path, **env}).stdout.splitlines()


@pytest.fixture
def served(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline on a server."""
    return server.publish(tiny)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(COLD.format(call="get_nlp"), ["False False"], id="get_nlp"),
        pytest.param(COLD.format(call="load"), ["False False"], id="load"),
        pytest.param(WARM, ["False", "True"], id="ensure_model needs no spaCy, and a warm load no thread"),
        pytest.param(ENSURE, ["release False"], id="ensure_model unpacks with what another thread imported"),
    ],
)
def test_slow_imports_are_made_beside_the_download(
    folder: Path, served: ModelPin, script: str, expected: list[str]
) -> None:
    """What takes longest is imported by another thread than the caller's while the wheel is on its way."""
    assert said(folder, script, served) == expected


def test_no_wheel_no_import(folder: Path, served: ModelPin, server: ModelServer) -> None:
    """Where no byte of a wheel comes, a call fails without the time that spaCy takes."""
    server.serve(f"/{served.filename}", Reply(status=404))
    assert said(folder, FAIL, served) == ["DownloadError False"]


def test_failed_download_does_not_wait_for_the_import_beside_it(
    folder: Path, served: ModelPin, server: ModelServer
) -> None:
    """Other bytes than the pinned ones are told at once, however long spaCy's import takes."""
    server.serve(f"/{served.filename}", Reply(body=b"x" * 1000, drip_bytes_per_s=2000))
    (folder / "spacy" / "__init__.py").write_text("import time; time.sleep(30); IS_OVER = True")
    assert said(folder, WRONG, served) == ["HashMismatchError False"]


def test_import_that_fails_is_raised_in_the_caller(folder: Path, served: ModelPin) -> None:
    """What is wrong with spaCy itself is told as if the caller had imported it; the model is installed."""
    (folder / "spacy" / "__init__.py").write_text("raise RuntimeError('built for another numpy')")
    *told, source = said(folder, REASON, served)
    assert "built for another numpy" in "".join(told)
    assert source == "present"


def test_caller_that_is_being_imported_waits_for_no_thread(folder: Path, served: ModelPin) -> None:
    """A package that loads while it is imported, and that spaCy's language imports in turn, is not waited for."""
    (folder / "loads_at_import.py").write_text(IMPORTING)
    (folder / "spacy" / "lang" / "en" / "__init__.py").write_text("import loads_at_import")
    assert said(folder, "import loads_at_import; print(by_caller['spacy'], loads_at_import.nlp.lang)", served) == [
        "True en"
    ]
