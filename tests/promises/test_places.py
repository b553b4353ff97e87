"""Read-only and foreign targets, the permissions of what is installed, and other versions that are already there."""

from __future__ import annotations

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
    environment,
    libraries,
    owned,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import dist_infos, is_complete, leftovers, modes, snapshot
from support.wheels import DIST_INFO, OLDER, BuiltWheel, build_wheel, small_wheel

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


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Return a folder that other users can reach, too."""
    skip_unless_other_user()
    with public_folder() as folder:
        yield folder


@pytest.fixture
def served(server: ModelServer, wheel: BuiltWheel) -> ModelPin:
    """Return the pin of a small wheel that the server has."""
    return server.publish(wheel)


def ensure_as_other(pin: ModelPin, *, executable: str | None = None, **env: str | None) -> str:
    """Run ensure_model as another user with nothing of this user's, and return what it says."""
    settings = dict.fromkeys(("MODELBOOT_TARGET", "MODELBOOT_HOME", "HOME", "XDG_CACHE_HOME"))
    done = python(
        ENSURE,
        *pin_arguments(pin),
        user=OTHER,
        executable=executable,
        env={**settings, "TMPDIR": "/nonexistent", **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- where to


def test_target_that_may_not_be_written_is_refused_before_a_byte_is_fetched(
    served: ModelPin, server: ModelServer, open_to_all: Path
) -> None:
    """A target of root's: the error names folder and user, and the server has seen no request."""
    said = ensure_as_other(served, MODELBOOT_TARGET=str(open_to_all), MODELBOOT_HOME=str(open_to_all / "home"))
    assert said.startswith("InstallError could not install en_tiny_sm 1.0.0")
    assert str(open_to_all) in said
    assert f"user {OTHER} may not write there" in said
    assert server.requests == []
    assert list(open_to_all.iterdir()) == []


HOMELESS: dict[str, dict[str, str | None]] = {
    "HOME unset": {"HOME": None},
    "HOME empty": {"HOME": ""},
    "HOME missing": {"HOME": "/nonexistent"},
    "HOME of another user": {"HOME": "/"},
}


@pytest.mark.parametrize("env", HOMELESS.values(), ids=HOMELESS)
def test_user_without_any_folder_is_refused_before_a_byte_is_fetched(
    env: dict[str, str | None], served: ModelPin, server: ModelServer
) -> None:
    """An environment of root's and no home: every place is named with its reason, nothing was requested."""
    skip_unless_other_user()
    said = ensure_as_other(served, **env)
    assert said.startswith("InstallError could not install en_tiny_sm 1.0.0")
    assert "(environment): " in said
    assert f"user {OTHER} may not write there" in said
    assert "(store): " in said or "MODELBOOT_HOME is not set" in said
    assert server.requests == []


def test_environment_that_may_not_be_written_gives_way_to_the_store(
    served: ModelPin, server: ModelServer, open_to_all: Path
) -> None:
    """A virtual environment of root's: the model goes to the user's own store, and is found there again."""
    home = owned(open_to_all / "home", OTHER)
    name = f"{served.name}-{served.version}-{served.sha256[:12]}"
    said = ensure_as_other(served, HOME=str(home))
    assert said.startswith(f"release {home / '.cache' / 'modelboot' / name}")
    assert ensure_as_other(served, HOME=str(home)).startswith("present")
    assert len(server.requests) == 1
    assert is_complete(home / ".cache" / "modelboot" / name, served)


def test_environment_that_may_not_be_written_gives_way_to_the_user_site(served: ModelPin, open_to_all: Path) -> None:
    """Outside of virtual environments Python has a user site, which comes before the store."""
    base = getattr(sys, "_base_executable", "")
    if not base or Path(base) == Path(sys.executable):
        pytest.skip("the tests do not run in a virtual environment, so there is no other interpreter to try")
    home = owned(open_to_all / "home", OTHER)
    env = {"HOME": str(home), "PYTHONPATH": ":".join(libraries()), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    said = ensure_as_other(served, executable=base, **env)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = home / ".local" / "lib" / version / "site-packages"
    assert said.startswith(f"release {folder}")
    assert is_complete(folder, served)
    assert leftovers(folder, served) == []


# --- permissions


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=["022", "077"])
def test_modes_are_those_pip_gives(umask: int, wheel: BuiltWheel, tmp_path: Path) -> None:
    """Files and folders get the permissions that pip gives them under the same umask, in a target and in the store."""
    pin, name = wheel.pin, f"{wheel.name}-{wheel.version}.dist-info"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-index"]
    options = ["--disable-pip-version-check", "--target", str(tmp_path / "pip"), str(wheel.path)]
    subprocess.run([*pip, *options], umask=umask, check=True, capture_output=True, env=environment({}))
    ours = tmp_path / "ours"
    assert python(ENSURE, *pin_arguments(pin), umask=umask, env={"MODELBOOT_TARGET": str(ours)}).returncode == 0
    theirs = modes(tmp_path / "pip", wheel.name, name)
    assert theirs[f"{wheel.name}/meta.json"] == f"{0o666 & ~umask:o}"
    assert {path: mode for path, mode in modes(ours, wheel.name, name).items() if path in theirs} == theirs
    assert {mode for path, mode in modes(ours, name).items() if path not in theirs} <= {f"{0o666 & ~umask:o}"}


def test_store_under_umask_022_can_be_read_by_all(pin: ModelPin, tmp_path: Path) -> None:
    """What is published into the store in one rename does not have the permissions of a private temporary folder."""
    target = tmp_path / "target"
    (target / f"{pin.name}-0.1.dist-info").mkdir(parents=True)  # nobody's: the target is foreign
    done = python(ENSURE, *pin_arguments(pin), umask=0o022, env={"MODELBOOT_TARGET": str(target)})
    assert done.stdout.startswith(f"release {tmp_path / 'home'}")
    store = next((tmp_path / "home").glob(f"{pin.name}-*"))
    assert store.stat().st_mode & 0o777 == 0o755
    assert set(modes(store, pin.name).values()) == {"755", "644"}


# --- other versions


@pytest.fixture
def old(tmp_path: Path) -> BuiltWheel:
    """Return an older version of the tiny pipeline."""
    return build_wheel(tmp_path / "old", version=OLDER)


@pytest.fixture
def foreign(request: pytest.FixtureRequest, old: BuiltWheel, target: Path, tmp_path: Path) -> Path:
    """Return the target with version 0.9.0 in it, as another installer leaves it."""
    quiet = ["--quiet", "--no-deps", "--no-index", "--target", str(target), str(old.path)]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *quiet]
    uv = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv", "pip", "install", *quiet]
    env = environment({"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_OFFLINE": "1", "UV_PYTHON": sys.executable})
    subprocess.run(pip if request.param == "pip" else uv, check=True, capture_output=True, env=env)
    if request.param == "conda":  # the same files under its own name
        (target / f"{old.name}-{old.version}.dist-info" / "INSTALLER").write_text("conda\n")
    return target


def assert_pinned(pin: ModelPin, folder: Path) -> None:
    """Demand that the pinned version is loaded, and from that folder."""
    nlp = get_nlp(pin)
    assert nlp.meta["version"] == pin.version
    assert nlp.path is not None
    assert folder in nlp.path.parents
    assert len(list(nlp("One. Two.").sents)) == 2


@pytest.mark.parametrize("foreign", ["pip", "uv", "conda"], indirect=True)
def test_other_version_of_another_installer_stays_and_the_pin_is_loaded_from_the_store(
    foreign: Path, tiny_pin: ModelPin, tmp_path: Path
) -> None:
    """A 0.9.0 that pip, uv or conda put there is neither used nor touched; 1.0.0 is loaded, warm the second time."""
    before = snapshot(foreign)
    assert_pinned(tiny_pin, tmp_path / "home")
    get_nlp.cache_clear()
    assert_pinned(tiny_pin, tmp_path / "home")
    assert ensure_model(tiny_pin).source == "present"
    assert {path: entry for path, entry in snapshot(foreign).items() if not path.startswith(".modelboot")} == before


def test_own_older_version_is_replaced(old: BuiltWheel, tiny_pin: ModelPin, target: Path) -> None:
    """Our own 0.9.0 gives way to 1.0.0 in the same place, and one dist-info remains."""
    ensure_model(old.pin)
    assert_pinned(tiny_pin, target)
    assert dist_infos(target) == ["en_tiny_sm-1.0.0.dist-info"]
    assert leftovers(target, tiny_pin) == []
    assert is_complete(target, tiny_pin)


def test_own_older_version_that_was_imported_is_replaced(
    old: BuiltWheel, tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has loaded 0.9.0 gets 1.0.0 when it asks for it, and then imports that, too."""
    monkeypatch.syspath_prepend(str(target))
    assert get_nlp(old.pin).meta["version"] == "0.9.0"
    assert sys.modules["en_tiny_sm"].__version__ == "0.9.0"
    assert_pinned(tiny_pin, target)
    assert sys.modules["en_tiny_sm"].__version__ == "1.0.0"
    assert dist_infos(target) == ["en_tiny_sm-1.0.0.dist-info"]


@pytest.mark.parametrize("foreign", ["pip"], indirect=True)
def test_other_version_of_pip_that_was_imported_is_not_used(
    foreign: Path, tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has imported pip's 0.9.0 still gets 1.0.0 when it asks for that, and keeps what it imported."""
    monkeypatch.syspath_prepend(str(foreign))
    monkeypatch.delitem(sys.modules, "en_tiny_sm", raising=False)
    imported = __import__("en_tiny_sm")
    assert imported.load().meta["version"] == "0.9.0"
    assert_pinned(tiny_pin, tmp_path / "home")
    assert sys.modules["en_tiny_sm"] is imported
    assert spacy.load("en_tiny_sm").meta["version"] == "0.9.0"


def test_own_newer_version_stays_and_the_older_pin_goes_to_the_store(
    old: BuiltWheel, tiny_pin: ModelPin, target: Path, tmp_path: Path
) -> None:
    """Two programs that pin two versions do not take turns: the newer one stays, the older one lives in the store."""
    ensure_model(tiny_pin)
    before = snapshot(target)
    assert_pinned(old.pin, tmp_path / "home")
    assert snapshot(target) == before
    assert_pinned(tiny_pin, target)
    assert ensure_model(old.pin).source == "present"


def test_own_newer_version_that_is_damaged_gives_way(old: BuiltWheel, tiny_pin: ModelPin, target: Path) -> None:
    """A newer one that is no longer whole is nobody's to keep: the pin takes its place."""
    ensure_model(tiny_pin)
    (target / "en_tiny_sm" / "__init__.py").unlink()
    assert_pinned(old.pin, target)
    assert dist_infos(target) == ["en_tiny_sm-0.9.0.dist-info"]


def test_same_version_of_another_wheel_is_not_used(tiny_pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """Two builds of one version are two pins: the second goes to the store, and both stay from then on."""
    other = build_wheel(tmp_path / "other", marker="another build").pin
    assert [ensure_model(pin).source for pin in (other, tiny_pin)] == ["release", "release"]
    assert [ensure_model(pin).source for pin in (other, tiny_pin, other, tiny_pin)] == ["present"] * 4
    assert is_complete(target, other)
    assert (target / "en_tiny_sm" / "en_tiny_sm-1.0.0" / "marker.txt").exists()
    assert_pinned(tiny_pin, tmp_path / "home")


def test_versions_replace_one_another_upwards_only(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """Old, new, old, new: one folder of the target, one of the store, and no further download."""
    old = small_wheel(tmp_path / "old", OLDER).pin
    sources = [ensure_model(one).source for one in (old, pin, old, pin, old)]
    assert sources == ["release", "release", "release", "present", "present"]
    assert dist_infos(target) == [DIST_INFO]


LOAD = """
import sys, modelboot
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
print(modelboot.get_nlp(pin).meta["version"], modelboot.ensure_model(pin).path)
"""


def test_damage_of_the_same_size_that_may_not_be_repaired(tiny: BuiltWheel, open_to_all: Path) -> None:
    """A copy of its sizes but not its bytes that this user may not write: the store stands in, and it loads."""
    shared, home = open_to_all / "shared", owned(open_to_all / "home", OTHER)
    pin = tiny.pin_at(Path(shutil.copy(tiny.path, open_to_all)).as_uri())
    config = ensure_model(pin, target=shared).path / "config.cfg"
    config.write_bytes(b"[" * config.stat().st_size)
    env = {"MODELBOOT_TARGET": str(shared), "MODELBOOT_HOME": str(home), "TMPDIR": "/nonexistent"}
    done = python(LOAD, *pin_arguments(pin), user=OTHER, env=env)
    assert done.stdout.startswith("1.0.0"), done.stderr


def test_python_of_the_operating_system(served: ModelPin, open_to_all: Path) -> None:
    """Under the system's own Python, managed by its packages (PEP 668), a user's models go to the store."""
    system = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    if not system.exists() or not Path(f"/usr/lib/{system.name}/EXTERNALLY-MANAGED").exists():
        pytest.skip(f"there is no {system} that its packages manage")
    home = owned(open_to_all / "home", OTHER)
    said = ensure_as_other(served, executable=str(system), HOME=str(home), PYTHONPATH=":".join(libraries()))
    assert said.startswith(f"release {home / '.cache' / 'modelboot'}")
    assert not (home / ".local").exists()
