"""A cold load imports spaCy and the pipeline's language while the wheel travels, and no other call does."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot import ModelPin
from support.children import pin_arguments, python
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

PATH = "/en_tiny_sm-1.0.0-py3-none-any.whl"
WATCH = """
import sys, threading
from modelboot import ModelPin, ensure_model, get_nlp, load
importers = {}
class Watch:
    def find_spec(name, path=None, target=None):
        importers.setdefault(name, threading.current_thread() is threading.main_thread())
sys.meta_path.insert(0, Watch)
pin = ModelPin(*sys.argv[1:4], url=sys.argv[4])
"""


@pytest.fixture
def web_pin(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline on the loopback server, which has it."""
    server.serve(PATH, Reply(body=tiny.path.read_bytes()))
    return tiny.pin_at(server.url + PATH)


@pytest.mark.parametrize("call", ["get_nlp", "load"])
def test_cold_load_imports_beside_the_download(web_pin: ModelPin, call: str) -> None:
    """The modules that take longest are imported by another thread than the caller's."""
    script = WATCH + f"nlp = {call}(pin); print(importers['spacy'], importers['spacy.lang.en'], len(nlp('a b')))"
    assert python(script, *pin_arguments(web_pin)).stdout.split() == ["False", "False", "2"]


def test_warm_load_imports_in_the_callers_thread(web_pin: ModelPin) -> None:
    """Where the model is present, no second thread is at work."""
    script = WATCH + "ensure_model(pin); get_nlp(pin); print(importers['spacy'], importers['spacy.lang.en'])"
    assert python(script, *pin_arguments(web_pin)).stdout.split() == ["True", "True"]


def test_ensure_model_imports_no_spacy(web_pin: ModelPin) -> None:
    """An install alone needs no spaCy."""
    assert python(WATCH + "ensure_model(pin); print('spacy' in importers)", *pin_arguments(web_pin)).stdout == "False\n"


def test_no_wheel_no_import(web_pin: ModelPin, server: ModelServer) -> None:
    """Where no byte of a wheel comes, a call fails without the time that spaCy takes."""
    server.serve(PATH, Reply(status=404))
    script = WATCH + ("try: get_nlp(pin)\nexcept OSError as error: print(type(error).__name__, 'spacy' in importers)")
    done = python(script, *pin_arguments(web_pin), env={"MODELBOOT_INDEX": "0"})
    assert done.stdout == "DownloadError False\n"


def test_import_that_fails_is_raised_in_the_caller(web_pin: ModelPin, tmp_path: Path) -> None:
    """What is wrong with spaCy itself is told as if the caller had imported it; the model is installed."""
    (tmp_path / "spacy").mkdir()
    (tmp_path / "spacy" / "__init__.py").write_text("raise RuntimeError('built for another numpy')")
    script = WATCH + (
        "try: get_nlp(pin)\nexcept OSError as error: print(error.reason)\nprint(ensure_model(pin).source)"
    )
    done = python(script, *pin_arguments(web_pin), env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout == "RuntimeError: built for another numpy\npresent\n"


def test_caller_that_is_being_imported_waits_for_no_thread(web_pin: ModelPin, tmp_path: Path) -> None:
    """A package that loads while it is imported, and that spaCy's language imports in turn, is not waited for."""
    (tmp_path / "loads_at_import.py").write_text(
        "import sys\nfrom modelboot import ModelPin, get_nlp\n"
        "nlp = get_nlp(ModelPin(*sys.argv[1:4], url=sys.argv[4]))\n"
    )
    script = WATCH + "import loads_at_import; print(importers['spacy'], len(loads_at_import.nlp('a b')))"
    done = python(script, *pin_arguments(web_pin), env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout.split() == ["True", "2"]


def test_install_imports_what_unpacks_beside_the_download(web_pin: ModelPin) -> None:
    """installer, which takes longer to import than a small wheel takes to come, is imported by another thread."""
    script = WATCH + "ensure_model(pin); print(importers['installer'])"
    assert python(script, *pin_arguments(web_pin)).stdout == "False\n"


def test_wheel_that_is_copied_is_unpacked_too(tiny: BuiltWheel, tmp_path: Path) -> None:
    """Where nothing is downloaded, installer is imported all the same."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / tiny.path.name).write_bytes(tiny.content)
    script = WATCH + "print(ensure_model(pin, wheelhouse=sys.argv[5]).source)"
    pin = tiny.pin_at("http://127.0.0.1:9/x.whl")
    assert python(script, *pin_arguments(pin), str(tmp_path / "house")).stdout == "wheelhouse\n"
