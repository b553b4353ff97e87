"""`load` is `spacy.load`'s twin wherever the model is, and whether spaCy was imported before or not.

Each place is tried in a process of its own: first whether the model is found by its name, then every form of a call and
every kind of name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from modelboot import ensure_model
from support import children
from support.children import OTHER, library_of, make_env, pin_arguments, public_folder, python, skip_unless_other_user
from support.wheels import build_wheel

TABLE = """
import json, sys
from pathlib import Path

is_early = sys.argv[6] == "early"
if is_early:
    import spacy
import modelboot
from support.forms import FORMS, found_by_name, outcome

assert ("spacy" in sys.modules) == is_early
pin, reference = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]), Path(sys.argv[5])
getattr(modelboot, sys.argv[7])(pin)
found = found_by_name(pin.name)
import spacy
differing = []

def compare(model, twin, options):
    ours, theirs = outcome(modelboot.load, model, options), outcome(spacy.load, twin, options)
    if ours != theirs:
        differing.append([str(model), options, ours, theirs])

for options in FORMS.values():
    compare(pin, reference, options)
line = f"{pin.name} @ {pin.url}#sha256={pin.sha256}"
for name in (line, line.replace("_", "-", 2), pin.name, pin.name.replace("_", "-"), f"{pin.name}=={pin.version}"):
    compare(name, reference, {"exclude": ["sentencizer"]})
for model in (reference, str(reference), "blank:de", pin.name, "./typo"):
    compare(model, model, {})
print(json.dumps([differing, found, str(modelboot.ensure_model(pin, offline=True).path)]))
"""


def environment(folder: Path) -> tuple[dict[str, Any], Path]:
    """Its own virtual environment."""
    executable = make_env(folder / "env")
    return {"executable": str(executable)}, library_of(folder / "env")


def user_site(folder: Path) -> tuple[dict[str, Any], Path]:
    """The user site of another user, outside of virtual environments."""
    skip_unless_other_user()
    base = getattr(sys, "_base_executable", "")
    if not base or Path(base) == Path(sys.executable):
        pytest.skip("the tests do not run in a virtual environment, so there is no other interpreter to try")
    path = ":".join([str(Path(__file__).parents[1]), *children.libraries()])
    library = folder / f"home/.local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    env = {"PYTHONPATH": path, "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    return {"executable": base, "user": OTHER, "env": env}, library


def target(folder: Path) -> tuple[dict[str, Any], Path]:
    """MODELBOOT_TARGET."""
    return {"env": {"MODELBOOT_TARGET": str(folder / "target")}}, folder / "target"


def store(folder: Path) -> tuple[dict[str, Any], Path]:
    """The store of another user, who may not write to the environment."""
    skip_unless_other_user()
    return {"executable": str(make_env(folder / "env")), "user": OTHER}, folder / "home/.cache/modelboot"


@pytest.mark.parametrize(
    ("place", "spacy_imported", "first"),
    [
        (environment, "early", "load"),
        (user_site, "late", "get_nlp"),
        (target, "late", "ensure_model"),
        (store, "early", "ensure_model"),
    ],
)
def test_load_as_spacy_load_in_each_place(place: Any, spacy_imported: str, first: str) -> None:  # noqa: ANN401 - one of the above
    """The model is found by its name, and each call has the outcome and the warnings that `spacy.load` has."""
    with public_folder() as folder:
        start, expected = place(folder)
        wheel = build_wheel(folder / "wheels", name="af_tiny_sm", lang="af")
        (folder / "pins.txt").write_text(f"{wheel.name} @ {wheel.url}#sha256={wheel.sha256}\n", "utf-8")
        (folder / "home").mkdir()
        if "user" in start:
            children.owned(folder / "home", OTHER)
        start["env"] = {
            **dict.fromkeys(("MODELBOOT_TARGET", "MODELBOOT_HOME", "XDG_CACHE_HOME")),
            "HOME": str(folder / "home"),
            "MODELBOOT_PINS": str(folder / "pins.txt"),
            **start.get("env", {}),
        }
        reference = ensure_model(wheel.pin, target=folder / "reference").path
        arguments = [*pin_arguments(wheel.pin), str(reference), spacy_imported, first]
        done = python(TABLE, *arguments, cwd=str(folder), **start)
        assert done.returncode == 0, done.stderr
        differing, found, where = json.loads(done.stdout)
        assert differing == []
        assert found == ["1.0.0", True, "1.0.0", "1.0.0", True, "1.0.0"]
        assert Path(where).is_relative_to(expected)
