"""Read-only and foreign targets, the permissions of what is installed, and other versions that are already there."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest
import spacy

from modelboot import ModelPin, ensure_model, get_nlp
from support.children import OTHER, STUB_SPACY, owned, pin_arguments, public_folder, python, skip_unless_other_user
from support.folders import dist_infos, is_complete, leftovers, modes
from support.wheels import DIST_INFO, NAME, OLDER, BuiltWheel, build_wheel, small_wheel, unzipped

LOAD = "import sys, modelboot; print(modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).meta)"


def test_damage_of_the_same_size_that_may_not_be_repaired(tiny: BuiltWheel) -> None:
    """A copy of its sizes but not its bytes that this user may not write: one's own store stands in, and it loads."""
    skip_unless_other_user()
    with public_folder() as folder:
        pin, home = tiny.pin_at(Path(shutil.copy(tiny.path, folder)).as_uri()), owned(folder / "home", OTHER)
        damaged = ensure_model(pin, target=folder / "target").path / "sentencizer.json"
        damaged.write_bytes(b"[" * damaged.stat().st_size)
        env = {"MODELBOOT_TARGET": str(folder / "target"), "MODELBOOT_HOME": None, "XDG_CACHE_HOME": None}
        done = python(LOAD, *pin_arguments(pin), user=OTHER, env={**STUB_SPACY, **env, "HOME": str(home)})
        assert "'version': '1.0.0'" in done.stdout, done.stderr
        assert is_complete(home / ".cache" / "modelboot" / f"{NAME}-1.0.0-{pin.sha256[:12]}", pin)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids=oct)
@pytest.mark.parametrize("is_foreign", [False, True], ids=["target", "store"])
def test_modes_follow_the_umask(umask: int, pin: ModelPin, target: Path, *, is_foreign: bool) -> None:
    """Files and folders have the modes that pip gives them, not those of private temporary ones; the store's, too."""
    if is_foreign:
        (target / f"{NAME}-0.1.dist-info").mkdir(parents=True)  # of no installer, so that the store stands in
    before = os.umask(umask)
    try:
        folder = ensure_model(pin).path.parents[1]
    finally:
        os.umask(before)
    assert (folder != target) == is_foreign
    found = modes(folder, NAME, DIST_INFO)
    assert {found.pop(path) for path in [*found] if (folder / path).is_dir()} == {f"{0o777 & ~umask:o}"}
    assert {*found.values()} == {f"{0o666 & ~umask:o}"}
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.fixture
def old(tmp_path: Path) -> BuiltWheel:
    """Return an older version of the small wheel."""
    return small_wheel(tmp_path / "old", OLDER)


def assert_loaded_from(folder: Path, pin: ModelPin) -> None:
    """Demand that the pinned version is loaded, and from that folder."""
    nlp = get_nlp(pin)
    assert nlp.meta["version"] == pin.version
    assert nlp.path is not None
    assert folder in nlp.path.parents
    assert len(list(nlp("One. Two.").sents)) == 2


def test_versions_replace_one_another_upwards_only(
    old: BuiltWheel, pin: ModelPin, target: Path, tmp_path: Path
) -> None:
    """Modelboot's own 0.9.0 gives way to 1.0.0 in its place; that stays, and 0.9.0 lives in the store from then on."""
    models = [ensure_model(one) for one in (old.pin, pin, old.pin, pin, old.pin)]
    assert [model.source for model in models] == ["release", "release", "release", "present", "present"]
    places = [target, target, tmp_path / "home", target, tmp_path / "home"]
    assert [place for place, model in zip(places, models, strict=True) if place not in model.path.parents] == []
    assert is_complete(target, pin)
    assert (dist_infos(target), leftovers(target, pin)) == ([DIST_INFO], [])


def test_own_newer_version_that_is_damaged_gives_way(old: BuiltWheel, pin: ModelPin, target: Path) -> None:
    """A newer one that is not whole any more is not kept: the pin takes its place."""
    ensure_model(pin)
    (target / NAME / "__init__.py").unlink()
    ensure_model(old.pin)
    assert is_complete(target, old.pin)
    assert dist_infos(target) == [f"{NAME}-{OLDER}.dist-info"]


@pytest.mark.parametrize("is_own", [True, False], ids=["modelboot's", "pip's"])
def test_version_that_was_imported(
    tiny_pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_own: bool
) -> None:
    """A process that has loaded 0.9.0 gets 1.0.0 when it asks for that: modelboot's own gives way, also as a module.

    One of pip's stays, and so does what was imported of it.
    """
    old = build_wheel(tmp_path / "old", version=OLDER)
    monkeypatch.syspath_prepend(str(target))
    if is_own:
        assert_loaded_from(target, old.pin)
    else:
        unzipped(old, target)
    imported = importlib.import_module(NAME)
    assert (imported.__version__, imported.load().meta["version"]) == (OLDER, OLDER)
    assert_loaded_from(target if is_own else tmp_path / "home", tiny_pin)
    assert (sys.modules[NAME] is imported) is not is_own
    assert sys.modules[NAME].__version__ == spacy.load(NAME).meta["version"] == ("1.0.0" if is_own else OLDER)
