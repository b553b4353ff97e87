"""Where a model is looked for, and where it goes."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._environment import installed_version
from modelboot.errors import InstallError
from support.children import OTHER, pin_arguments, public_folder, python, skip_unless_other_user
from support.folders import WORK, leftovers
from support.layers import refuse_renames
from support.server import ModelServer
from support.wheels import NAME, OLDER, BuiltWheel, small_wheel

MAY_WRITE = """
import sys
from modelboot import InstallError, ModelPin, ensure_model
for folder in sys.argv[5:]:
    try:
        print(ensure_model(ModelPin(*sys.argv[1:4], url=sys.argv[4]), target=folder).source)
    except InstallError as error:
        print(error.fault)
"""


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Be an interpreter outside of a virtual environment that has all its folders in one, which is returned."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    folders = {name: str(tmp_path / name) for name in ("stdlib", "purelib")}
    monkeypatch.setattr(sysconfig, "get_path", folders.get)
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path / "user"))
    for folder in ("user", "purelib"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    monkeypatch.delenv("MODELBOOT_TARGET")
    return tmp_path


@pytest.fixture
def managed(places: Path) -> Path:
    """Be one that the operating system's packages manage (PEP 668)."""
    (places / "stdlib").mkdir()
    (places / "stdlib" / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    return places


def store_of(pin: ModelPin, home: Path) -> Path:
    """Return the folder of the store that is a pin's own."""
    return home / f"{pin.name}-{pin.version}-{pin.sha256[:12]}"


def folder_of(pin: ModelPin) -> Path:
    """Ask for a model twice, and return the folder that it went to and was found in."""
    folders = {ensure_model(pin).path.parents[1] for _ in range(2)}
    assert len(folders) == 1
    return folders.pop()


# --- where it goes


@pytest.mark.parametrize(
    ("closed", "user_site", "chosen"),
    [
        pytest.param([], True, "purelib", id="environment"),
        pytest.param(["purelib"], True, "user", id="user site"),
        pytest.param(["purelib", "user"], True, "home", id="store"),
        pytest.param(["purelib"], False, "home", id="user site switched off"),
        pytest.param(["purelib"], None, "home", id="user site unsafe"),
    ],
)
def test_first_place_that_can_be_written(  # noqa: PLR0913, PLR0917 - a row
    places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, closed: list[str], user_site: object, chosen: str
) -> None:
    """Without a target it is the environment, then the user site if Python uses it, then the store.

    Nothing is made elsewhere.
    """
    monkeypatch.setattr(site, "ENABLE_USER_SITE", user_site)
    for name in closed:
        (places / name).touch()
    assert folder_of(pin) == (store_of(pin, places / "home") if chosen == "home" else places / chosen)
    assert {"purelib", "user", "home"} & {path.name for path in places.iterdir()} == {*closed, chosen}


@pytest.mark.parametrize("switch", ["", "0", "False", "n", "f", "OFF"])
def test_externally_managed_environment_is_left_alone(
    managed: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, switch: str
) -> None:
    """As for pip, environment and user site are the system's (PEP 668): the store is taken, and one line says so."""
    monkeypatch.setenv("PIP_BREAK_SYSTEM_PACKAGES", switch)
    with caplog.at_level("INFO", "modelboot"):
        assert folder_of(pin) == store_of(pin, managed / "home")
    (line,) = [record.getMessage() for record in caplog.records if "externally managed" in record.getMessage()]
    assert line.count("this Python is externally managed (PEP 668)") == 2
    assert not (managed / "purelib").exists()


@pytest.mark.parametrize("change", ["1", "yes", "TRUE", "venv"])
def test_environment_that_may_be_changed(
    managed: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """With the switch PIP_BREAK_SYSTEM_PACKAGES, or in a virtual environment, the environment is taken."""
    if change == "venv":
        monkeypatch.setattr(sys, "prefix", str(managed))
    else:
        monkeypatch.setenv("PIP_BREAK_SYSTEM_PACKAGES", change)
    assert folder_of(pin) == managed / "purelib"


@pytest.mark.parametrize("below", ["", "a/b"], ids=["itself", "above"])
def test_target_and_nowhere_else(pin: ModelPin, target: Path, tmp_path: Path, below: str) -> None:
    """A target that was set but cannot be written is an error that names it alone; the store does not stand in."""
    target.touch()
    target.chmod(0o755)
    with pytest.raises(InstallError, match="may not write there") as refused:
        ensure_model(pin, target=target / below)
    assert (refused.value.fault, refused.value.path) == ("permissions", str(target / below))
    assert "(store)" not in refused.value.reason
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("has_home", [True, False])
def test_no_place_at_all(places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, *, has_home: bool) -> None:
    """Where there is none each is named with its reason, in order, and nothing is made."""
    (places / "purelib" / NAME).mkdir(parents=True)
    (places / "purelib" / NAME / "mine").touch()
    for name in ("user", "home"):
        (places / name).touch()
    user = f"user {os.getuid()} may not write there"
    last = f"{store_of(pin, places / 'home')} (store): {user}"
    if not has_home:
        last = "MODELBOOT_HOME is not set and this user has no home folder"
        monkeypatch.delenv("MODELBOOT_HOME")
        monkeypatch.setattr(os.path, "expanduser", os.fspath)
    with pytest.raises(InstallError) as refused:
        ensure_model(pin)
    assert (refused.value.fault, refused.value.path) == ("permissions", str(places / "purelib"))
    assert refused.value.reason.split("; ") == [
        f"{places / 'purelib'} (environment): has one that modelboot may not replace or read",
        f"{places / 'user'} (user site): {user}",
        last,
    ]
    assert leftovers(places / "purelib") == [NAME]


@pytest.mark.parametrize("locks_work", [True, False])
def test_version_that_cannot_be_moved_out(
    places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, *, locks_work: bool
) -> None:
    """One in a lower layer of an image stays, and the store stands in; unless that has something else in its place."""
    if not locks_work:
        monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", lambda *_: None)
    assert folder_of(small_wheel(places / "old", OLDER).pin) == places / "purelib"
    refuse_renames(monkeypatch, lambda source, _: source.parent == places / "purelib")
    store = store_of(pin, places / "home")
    (store / NAME).mkdir(parents=True)
    with pytest.raises(InstallError, match=r"\(store\)") as refused:
        ensure_model(pin)
    assert (refused.value.fault, "MODELBOOT_HOME" in refused.value.reason) == ("permissions", False)
    shutil.rmtree(store)
    assert folder_of(pin) == store
    assert not (places / "user").exists()


MODES = {"open": 0o777, "read-only": 0o755, "no-entry": 0o776, "closed": 0o700, f"work/{WORK}": 0o777}
MAY_BE_WRITTEN = {"open": True, "open/a/b": True}
MAY_BE_WRITTEN |= dict.fromkeys(("read-only", "read-only/a/b", "no-entry", "closed/a/b", "work"), False)


def test_permissions_of_another_user(wheel: BuiltWheel, server: ModelServer) -> None:
    """Permissions decide, also those of a folder that may not even be looked into; a work folder alone decides nothing.

    Nothing is fetched to find out.
    """
    skip_unless_other_user()
    with public_folder() as folder:
        for place, mode in MODES.items():
            (folder / place).mkdir(parents=True)
            (folder / place).chmod(mode)
        places = [str(folder / place) for place in MAY_BE_WRITTEN]
        done = python(MAY_WRITE, *pin_arguments(server.publish(wheel)), *places, user=OTHER)
    expected = ["release" if is_open else "permissions" for is_open in MAY_BE_WRITTEN.values()]
    assert done.stdout.split() == expected, done.stderr
    assert len(server.requests) == expected.count("release")


# --- where it is looked for


def test_order_of_the_search(places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes first, then the user site, then sys.path in its order, then the store."""
    for name in ("b", "a"):
        monkeypatch.syspath_prepend(str(places / name))
    folders = [*(places / name for name in ("purelib", "user", "a", "b")), store_of(pin, places / "home")]
    for folder in folders:
        ensure_model(pin, target=folder)
    for folder in folders:
        assert folder_of(pin) == folder
        shutil.rmtree(folder)


def test_target_that_is_set_is_searched_alone(
    places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, target: Path
) -> None:
    """With a target set a model in the environment does not count, one in the store does."""
    monkeypatch.setenv("MODELBOOT_TARGET", str(target))
    ensure_model(pin, target=places / "purelib")
    assert folder_of(pin) == target
    shutil.rmtree(target)
    ensure_model(pin, target=store_of(pin, places / "home"))
    assert folder_of(pin) == store_of(pin, places / "home")


@pytest.mark.parametrize("place", ["purelib", "user", "other"])
def test_copy_without_a_recorded_hash(
    places: Path, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Wherever it lies it is used as it is, and does not count where a hash is required."""
    monkeypatch.syspath_prepend(str(places / "other"))
    shutil.unpack_archive(wheel.path, places / place, "zip")
    assert folder_of(wheel.pin) == places / place
    monkeypatch.setenv("MODELBOOT_REQUIRE_HASH", "1")
    assert folder_of(wheel.pin) != places / place


@pytest.mark.parametrize("entry", ["", ".", "{cwd}", "{cwd}/", "{link}"], ids=["empty", "dot", "path", "slash", "link"])
def test_working_directory_is_not_searched(
    places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """The working directory is never looked in, however sys.path spells it; folders below it are."""
    work, link = places / "work", places / "link"
    ensure_model(pin, target=work)
    link.symlink_to(work)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", [entry.format(cwd=work, link=link), "below", *sys.path])
    assert folder_of(pin) == places / "purelib"
    shutil.rmtree(places / "purelib")
    ensure_model(pin, target=work / "below")
    assert folder_of(pin) == work / "below"


def test_working_directory_that_was_deleted(places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory that is gone is not a reason to fail."""
    (places / "gone").mkdir()
    monkeypatch.chdir(places / "gone")
    (places / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", "below", *sys.path])
    assert folder_of(pin) == places / "purelib"


def test_odd_entries_of_sys_path(places: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of links, an over-long name, a file, a null byte and bytes lead nowhere, and are not a reason to fail."""
    (places / "loop").symlink_to(places / "loop")
    (places / "file").touch()
    ensure_model(pin, target=places / "last")
    odd = [str(places / name) for name in ("loop", "x" * 300, "file", "nul\0")]
    monkeypatch.setattr(sys, "path", [*odd, b"/x", *sys.path])
    assert folder_of(pin) == places / "last"
    assert installed_version("pytest")
