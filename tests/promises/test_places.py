"""Read-only and foreign targets, the permissions of what is installed, and other versions that are already there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spacy

from modelboot import ModelPin, ensure_model, get_nlp
from support.children import (
    OTHER,
    STUB_SPACY,
    environment,
    owned,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import WORK, dist_infos, is_complete, leftovers, modes, snapshot
from support.wheels import DIST_INFO, NAME, OLDER, BuiltWheel, build_wheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

ENSURE = """
import sys, modelboot
try:
    model = modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
    print(model.source, model.path)
except modelboot.ModelbootError as error:
    print(type(error).__name__, error.message)
"""
LOAD = """
import sys, modelboot
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
print(modelboot.get_nlp(pin).meta["version"], modelboot.ensure_model(pin).path)
"""


# --- another user


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder of this user's that others can reach, too."""
    skip_unless_other_user()
    with public_folder() as folder:
        yield folder


def said_to_other(script: str, pin: ModelPin, **env: str | None) -> str:
    """Run a script as another user with nothing of this user's, and return what it says."""
    nothing = dict.fromkeys(("MODELBOOT_TARGET", "MODELBOOT_HOME", "HOME", "XDG_CACHE_HOME"))
    settings = {**STUB_SPACY, **nothing, "TMPDIR": "/nonexistent", **env}
    done = python(script, *pin_arguments(pin), user=OTHER, env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


NO_PLACE: dict[str, dict[str, str | None]] = {
    "target": {"MODELBOOT_TARGET": "{}", "MODELBOOT_HOME": "{}/home"},
    "HOME unset": {"HOME": None},
    "HOME empty": {"HOME": ""},
    "HOME missing": {"HOME": "/nonexistent"},
    "HOME of another user": {"HOME": "/"},
}


@pytest.mark.parametrize("env", NO_PLACE.values(), ids=NO_PLACE)
def test_no_place_that_may_be_written(
    env: dict[str, str | None], wheel: BuiltWheel, server: ModelServer, shared: Path
) -> None:
    """Every place is named with its reason, before a byte is fetched."""
    settings = {name: text and text.format(shared) for name, text in env.items()}
    told = said_to_other(ENSURE, server.publish(wheel), **settings)
    assert told.startswith(f"InstallError could not install {NAME} 1.0.0")
    assert f"user {OTHER} may not write there" in told
    if "HOME" in env:
        assert "(environment): " in told
        assert "(store): " in told or "MODELBOOT_HOME is not set" in told
    else:
        assert f"{shared} (MODELBOOT_TARGET): " in told
    assert server.requests == []
    assert list(shared.iterdir()) == []


def test_environment_that_may_not_be_written_gives_way_to_the_store(
    wheel: BuiltWheel, server: ModelServer, shared: Path
) -> None:
    """A virtual environment of another user's: the model goes to one's own store, and is found there again."""
    home, pin = owned(shared / "home", OTHER), server.publish(wheel)
    store = home / ".cache" / "modelboot" / f"{NAME}-1.0.0-{pin.sha256[:12]}"
    assert said_to_other(ENSURE, pin, HOME=str(home)).startswith(f"release {store}")
    assert said_to_other(ENSURE, pin, HOME=str(home)).startswith(f"present {store}")
    assert len(server.requests) == 1
    assert is_complete(store, pin)


def test_damage_of_the_same_size_that_may_not_be_repaired(tiny: BuiltWheel, shared: Path) -> None:
    """A copy of its sizes but not its bytes that this user may not write: the store stands in, and it loads."""
    pin, home = tiny.pin_at(Path(shutil.copy(tiny.path, shared)).as_uri()), owned(shared / "home", OTHER)
    damaged = ensure_model(pin, target=shared / "target").path / "sentencizer.json"
    damaged.write_bytes(b"[" * damaged.stat().st_size)
    env = {"MODELBOOT_TARGET": str(shared / "target"), "MODELBOOT_HOME": str(home)}
    assert said_to_other(LOAD, pin, **env).startswith("1.0.0")


# --- permissions


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids=oct)
@pytest.mark.parametrize("is_foreign", [False, True], ids=["target", "store"])
def test_modes_follow_the_umask(
    umask: int,
    is_foreign: bool,  # noqa: FBT001 - a case
    pin: ModelPin,
    target: Path,
) -> None:
    """Files and folders have any file's and folder's modes, not those of private temporary ones, the store's, too."""
    if is_foreign:
        (target / f"{NAME}-0.1.dist-info").mkdir(parents=True)  # nobody's, so that the store stands in
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


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
def test_modes_are_those_pip_gives(wheel: BuiltWheel, target: Path, tmp_path: Path) -> None:
    """Files and folders get the permissions that pip gives them."""
    options = ["--quiet", "--no-deps", "--no-compile", "--no-index", "--disable-pip-version-check"]
    words = [sys.executable, "-m", "pip", "install", *options, "--target", str(tmp_path / "pip"), str(wheel.path)]
    subprocess.run(words, check=True, capture_output=True, env=environment({}))
    ensure_model(wheel.pin)
    theirs, ours = modes(tmp_path / "pip", NAME, DIST_INFO), modes(target, NAME, DIST_INFO)
    assert len(theirs) > 10
    assert {path: ours.get(path) for path in theirs} == theirs


# --- other versions


@pytest.fixture
def old(tmp_path: Path) -> BuiltWheel:
    """Return an older version of the small wheel."""
    return small_wheel(tmp_path / "old", OLDER)


def unzipped(wheel: BuiltWheel, target: Path, installer: str) -> None:
    """Install a wheel as another program would."""
    shutil.unpack_archive(wheel.path, target, "zip")
    (target / f"{wheel.name}-{wheel.version}.dist-info" / "INSTALLER").write_text(f"{installer}\n", "utf-8")


def assert_loaded_from(folder: Path, pin: ModelPin) -> None:
    """Demand that the pinned version is loaded, and from that folder."""
    nlp = get_nlp(pin)
    assert nlp.meta["version"] == pin.version
    assert nlp.path is not None
    assert folder in nlp.path.parents
    assert len(list(nlp("One. Two.").sents)) == 2


@pytest.mark.parametrize("installer", ["pip", "uv", "conda"])
def test_other_version_of_another_installer_stays(
    installer: str, old: BuiltWheel, pin: ModelPin, target: Path, tmp_path: Path
) -> None:
    """A 0.9.0 that pip, uv or conda put there is neither used nor touched; the pin goes to the store, once."""
    unzipped(old, target, installer)
    before = snapshot(target, without=[WORK])
    models = [ensure_model(pin) for _ in range(2)]
    assert [model.source for model in models] == ["release", "present"]
    assert all(model.path.is_relative_to(tmp_path / "home") for model in models)
    assert snapshot(target, without=[WORK]) == before


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
    """A newer one that is no longer whole is not kept: the pin takes its place."""
    ensure_model(pin)
    (target / NAME / "__init__.py").unlink()
    ensure_model(old.pin)
    assert is_complete(target, old.pin)
    assert dist_infos(target) == [f"{NAME}-{OLDER}.dist-info"]


def test_versions_that_were_imported(
    tiny_pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has loaded modelboot's own 0.9.0 gets 1.0.0 when it asks for that, and then imports it, too."""
    old = build_wheel(tmp_path / "old", version=OLDER).pin
    monkeypatch.syspath_prepend(str(target))
    assert_loaded_from(target, old)
    assert sys.modules[NAME].__version__ == OLDER
    assert_loaded_from(target, tiny_pin)
    assert sys.modules[NAME].__version__ == "1.0.0"


def test_version_of_others_that_was_imported(
    tiny_pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has imported pip's 0.9.0 still gets 1.0.0 when it asks for that, and keeps what it imported."""
    unzipped(build_wheel(tmp_path / "old", version=OLDER), target, "pip")
    monkeypatch.syspath_prepend(str(target))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    imported = __import__(NAME)
    assert imported.load().meta["version"] == OLDER
    assert_loaded_from(tmp_path / "home", tiny_pin)
    assert sys.modules[NAME] is imported
    assert spacy.load(NAME).meta["version"] == OLDER
