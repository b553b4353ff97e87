"""After an install the model is found by its name in this process, and by others with `modelboot env`."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import pin_arguments, python
from support.wheels import BuiltWheel, build_wheel

NAME = "en_tiny_sm"
FOUND = """
import importlib, importlib.metadata, json, sys
if "early" in sys.argv[6]:
    import spacy
import modelboot
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
getattr(modelboot, sys.argv[5])(pin)
import spacy
print(json.dumps([
    spacy.load("en_tiny_sm").meta["version"],
    spacy.util.is_package("en_tiny_sm"),
    importlib.import_module("en_tiny_sm").load().meta["version"],
    importlib.metadata.version("en_tiny_sm"),
    "en_tiny_sm" in spacy.util.get_installed_models(),
    spacy.info()["pipelines"].get("en_tiny_sm"),
]))
"""


@pytest.mark.parametrize("place", ["MODELBOOT_TARGET", "store"])
@pytest.mark.parametrize("function", ["ensure_model", "load", "get_nlp"])
@pytest.mark.parametrize("spacy_imported", ["early", "late"])
def test_found_by_name(tiny_pin: ModelPin, tmp_path: Path, spacy_imported: str, function: str, place: str) -> None:
    """spaCy, the import system and its metadata find the model, wherever it was put and whenever spaCy was imported."""
    env: dict[str, str | None] = {"MODELBOOT_TARGET": str(tmp_path / "target")}
    if place == "store":
        foreign = build_wheel(tmp_path / "foreign", version="0.9.0")
        _as_pip(foreign, tmp_path / "target")
    done = python(FOUND, *pin_arguments(tiny_pin), function, spacy_imported, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["1.0.0", True, "1.0.0", "1.0.0", True, "1.0.0"]


SHADOWED = """
import json, sys
sys.path.insert(0, sys.argv[5])
import modelboot, spacy
nlp = modelboot.load(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
import en_tiny_sm
print(json.dumps([nlp.meta["version"], en_tiny_sm.__version__, spacy.load("en_tiny_sm").meta["version"]]))
"""


def test_foreign_version_keeps_its_name(tiny_pin: ModelPin, tmp_path: Path) -> None:
    """Another version that was found by name before still is; the pin is what `load` returns."""
    _as_pip(build_wheel(tmp_path / "foreign", version="0.9.0"), tmp_path / "environment")
    done = python(SHADOWED, *pin_arguments(tiny_pin), str(tmp_path / "environment"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["1.0.0", "0.9.0", "0.9.0"]


def test_env_for_other_programs(tiny: BuiltWheel, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that has run the line of `modelboot env` starts programs that find the model."""
    ensure_model(tiny.pin)
    sys.path.remove(str(target))  # as in a new process
    assert main(["env"]) == 0
    line = capsys.readouterr().out
    code = f"import {NAME}; print({NAME}.__version__)"
    script = f"PYTHONPATH=/absent; {line}\n{shlex.join([sys.executable, '-c', code])}; echo $PYTHONPATH"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.stdout == f"1.0.0\n/absent:{target}\n", done.stderr
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"PYTHONPATH": [str(target)]}
    assert main(["env", "--shell", "fish"]) == 0
    assert capsys.readouterr().out == f"set -gx PYTHONPATH $PYTHONPATH '{target}'\n"


def test_env_with_nothing_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    """Where every model is found already the line does nothing."""
    assert main(["env"]) == 0
    assert capsys.readouterr().out == "# nothing to add\n"


def _as_pip(wheel: BuiltWheel, folder: Path) -> None:
    """Unpack a wheel as another program would install it."""
    import zipfile

    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(folder)
    (folder / f"{NAME}-{wheel.version}.dist-info" / "INSTALLER").write_text("pip\n")
