"""`load` is `spacy.load`'s twin wherever the model is, absent or present, and whether spaCy was imported before or not.

Each place is tried in a process of its own, on every form of a call and every kind of name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import (
    OTHER,
    libraries,
    make_env,
    owned,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.wheels import BuiltWheel, build_wheel

TABLE = """
import json, shutil, sys
from pathlib import Path

is_early = sys.argv[6] == "early"
if is_early:
    import spacy
import modelboot
from support.forms import FORMS, outcome

assert ("spacy" in sys.modules) == is_early
pin, reference = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]), Path(sys.argv[5])
line = f"{pin.name} @ {pin.url}#sha256={pin.sha256}"
place = None

def remove():
    if place is not None:
        shutil.rmtree(place.parent)
        shutil.rmtree(place.parent.with_name(f"{pin.name}-{pin.version}.dist-info"))

differing, known = [], {}
def compare(case, model, twin, options):
    ours = outcome(modelboot.load, model, options)
    import spacy
    key = str((twin, options))
    theirs = known[key] = known.get(key) or outcome(spacy.load, twin, options)
    if ours != theirs:
        differing.append([case, ours, theirs])

for is_present in (False, True):
    # Absent, each form is tried in tests/unit, in one place; here one of each kind.
    for form, options in FORMS.items():
        if not is_present:
            if form not in {"nothing", "disable", "config, nested", "config that does not exist"}:
                continue
            remove()
        compare([form, is_present], pin, reference, options)
        place = modelboot.ensure_model(pin, offline=True).path
for model, twin in {
    line: reference, line.replace("_", "-", 2): reference, pin.name: reference, pin.name.replace("_", "-"): reference,
    f"{pin.name}=={pin.version}": reference, reference: reference, str(reference): reference, "blank:de": "blank:de",
}.items():
    compare(str(model), model, twin, {"exclude": ["sentencizer"]})
import spacy
compare("by name, found by spaCy", pin.name, pin.name, {})
errors = []
for model in ("en_typo_sm", "./typo", Path("typo"), "/typo/x"):
    for function in (modelboot.load, spacy.load):
        try:
            function(model)
        except OSError as error:
            errors.append("Can't find model" in str(error))
print(json.dumps({"place": str(place), "differing": differing, "errors": errors}))
"""


class Place:
    """How a child is started so that the model goes to one place, and where that is."""

    def __init__(self, folder: Path) -> None:
        """Make folders for a user without rights."""
        self.home = owned(folder / "home", OTHER)
        self.folder = folder
        self.env: dict[str, str | None] = {
            **dict.fromkeys(("MODELBOOT_TARGET", "MODELBOOT_HOME", "XDG_CACHE_HOME")),
            "HOME": str(self.home),
        }
        self.executable: str | None = None
        self.user: int | None = OTHER
        self.expected = folder

    def environment(self) -> None:
        """Its own virtual environment."""
        self.executable, self.user = str(make_env(self.folder / "env")), None
        (self.expected,) = (self.folder / "env").glob("lib/python*/site-packages")

    def user_site(self) -> None:
        """The user site of another user, outside of virtual environments."""
        base = getattr(sys, "_base_executable", "")
        if not base or Path(base) == Path(sys.executable):
            pytest.skip("the tests do not run in a virtual environment, so there is no other interpreter to try")
        self.executable = base
        tests = str(Path(__file__).parents[1])
        self.env |= {"PYTHONPATH": ":".join([tests, *libraries()]), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.expected = self.home / ".local" / "lib" / version / "site-packages"

    def target(self) -> None:
        """MODELBOOT_TARGET."""
        self.expected = owned(self.folder / "target", OTHER)
        self.env["MODELBOOT_TARGET"] = str(self.expected)

    def store(self) -> None:
        """The store of another user, who may not write to the environment."""
        self.executable = str(make_env(self.folder / "env"))
        self.expected = self.home / ".cache" / "modelboot"


PLACES: dict[str, Callable[[Place], None]] = {
    "environment": Place.environment,
    "user site": Place.user_site,
    "target": Place.target,
    "store": Place.store,
}


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Return a folder that other users can reach, too."""
    skip_unless_other_user()
    with public_folder() as folder:
        yield folder


@pytest.fixture
def public_pin(open_to_all: Path) -> ModelPin:
    """Return the pin of a wheel that every user can read."""
    wheel: BuiltWheel = build_wheel(open_to_all / "wheels")
    (open_to_all / "pins.txt").write_text(f"{wheel.name} @ {wheel.url}#sha256={wheel.sha256}\n", "utf-8")
    return wheel.pin


@pytest.mark.parametrize("spacy_imported", ["early", "late"])
@pytest.mark.parametrize("name", PLACES)
def test_load_as_spacy_load_in_each_place(
    name: str, spacy_imported: str, public_pin: ModelPin, open_to_all: Path
) -> None:
    """Every form of a call and kind of name has the outcome and the warnings that spaCy has on the same files."""
    place = Place(open_to_all)
    PLACES[name](place)
    reference = ensure_model(public_pin, target=open_to_all / "reference").path
    done = python(
        TABLE,
        *(*pin_arguments(public_pin), str(reference), spacy_imported),
        user=place.user,
        executable=place.executable,
        env={**place.env, "MODELBOOT_PINS": str(open_to_all / "pins.txt")},
        cwd=str(open_to_all),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["differing"] == []
    assert found["errors"] == [True] * 8
    assert Path(found["place"]).is_relative_to(place.expected)
