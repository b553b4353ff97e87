"""Where a model is looked for, and where it goes."""

from __future__ import annotations

import site
import sys
import sysconfig
from pathlib import Path

import pytest

from modelboot import ModelPin
from modelboot._environment import installed_version
from modelboot._install.inspection import inspect
from modelboot._install.target import (
    WORK,
    Store,
    Target,
    purelib,
    targets_in_use,
    targets_to_install_into,
    targets_to_search,
)
from modelboot._settings import Settings
from support.children import run_as_other_user

PIN = ModelPin("en_acme_sm", "1.2.0", "0123456789abcdef" * 4)
STORE_NAME = "en_acme_sm-1.2.0-0123456789ab"
IN_USE = """
import sys
from modelboot._install.target import targets_in_use
from modelboot._settings import read_settings
settings = read_settings({"MODELBOOT_TARGET": "/target", "MODELBOOT_HOME": sys.argv[1]})
print(*(target.folder for target in targets_in_use(settings)))
"""


@pytest.fixture
def chosen(settings: Settings) -> Settings:
    """Return settings with a target and a store."""
    return settings._replace(target=Path("/target"), home=Path("/home"))


@pytest.fixture
def free(settings: Settings) -> Settings:
    """Return settings without a target."""
    return settings._replace(target=None, home=Path("/home"))


def enable_user_site(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Be an interpreter that uses the user's own site-packages."""
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: folder)


def test_purelib() -> None:
    """The environment is this interpreter's folder for pure packages."""
    assert purelib() == Path(sysconfig.get_paths()["purelib"])


def searched(pin: ModelPin, settings: Settings) -> list[Path]:
    """Return the folders a model is searched for in."""
    return [target.folder for target in targets_to_search(pin, settings)]


def test_targets_to_search_target(chosen: Settings) -> None:
    """With a target set a model may lie there or in the store, and nowhere else."""
    assert searched(PIN, chosen) == [Path("/target"), Path("/home") / STORE_NAME]


def test_targets_to_search_target_without_home(chosen: Settings) -> None:
    """A user without a store is looked for in the target alone."""
    assert searched(PIN, chosen._replace(home=None)) == [Path("/target")]


def test_targets_to_search_order(monkeypatch: pytest.MonkeyPatch, free: Settings) -> None:
    """Without a target the environment comes first, then the user site, then sys.path, then the store; none twice."""
    enable_user_site(monkeypatch, "/user")
    monkeypatch.setattr(sys, "path", ["/a", str(purelib()), "/user", "/a/../a/", "/b"])
    folders = [purelib(), Path("/user"), Path("/a"), Path("/b"), Path("/home") / STORE_NAME]
    assert searched(PIN, free) == folders


@pytest.mark.parametrize("entry", ["", ".", "{cwd}", "{cwd}/", "{link}"], ids=["empty", "dot", "path", "slash", "link"])
def test_targets_to_search_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: Settings, entry: str
) -> None:
    """The working directory is never looked in, however sys.path spells it; folders below it are."""
    work, link = tmp_path / "work", tmp_path / "link"
    work.mkdir()
    link.symlink_to(work)
    monkeypatch.chdir(work)
    environment = purelib()  # once asked for, sysconfig knows it without an import
    monkeypatch.setattr(sys, "path", [entry.format(cwd=work, link=link), "below", "/a"])
    folders = searched(PIN, free._replace(home=None))
    assert folders == [environment, work / "below", Path("/a")]


def test_odd_entries_of_sys_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: Settings) -> None:
    """A loop of links, an over-long name, a file, a null byte and bytes lead nowhere, and are no reason to fail."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    odd = [str(tmp_path / "loop"), str(tmp_path / ("x" * 300)), str(tmp_path / "file"), f"{tmp_path}/nul\0", b"/x"]
    targets_before = list(targets_to_search(PIN, free))
    monkeypatch.setattr(sys, "path", [*odd, *sys.path])
    targets = list(targets_to_search(PIN, free))
    assert len(targets) >= len(targets_before) + 3
    assert {inspect(target, PIN).state for target in targets} == {"absent"}
    assert installed_version("pytest")


def test_targets_to_search_deleted_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: Settings
) -> None:
    """A working directory that was deleted is no reason to fail."""
    gone = tmp_path / "gone"
    gone.mkdir()
    expected = [purelib(), Path("/a")]  # before sys.path has no folder of Python any more
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", "below", "/a"])
    assert searched(PIN, free._replace(home=None)) == expected


def test_targets_in_use(tmp_path: Path, chosen: Settings) -> None:
    """Every wheel's folder of the store is in use, in order; locks, other folders and stray files are not."""
    for name in ("b-1-0123456789ab", "a-1-0123456789ab", "site-packages", WORK):
        (tmp_path / name).mkdir()
    (tmp_path / "stray").touch()
    targets = list(targets_in_use(chosen._replace(home=tmp_path)))
    assert targets == [
        Target("MODELBOOT_TARGET", Path("/target")),
        Store("store", tmp_path / "a-1-0123456789ab"),
        Store("store", tmp_path / "b-1-0123456789ab"),
    ]


@pytest.mark.parametrize("home", [None, Path("/no/such/folder")], ids=["none", "missing"])
def test_targets_in_use_without_a_store(chosen: Settings, home: Path | None) -> None:
    """Where there is no store the other folders are in use."""
    assert [target.folder for target in targets_in_use(chosen._replace(home=home))] == [Path("/target")]


@pytest.mark.parametrize("below", ["", "modelboot"], ids=["unreadable", "out-of-reach"])
def test_targets_in_use_closed_store(reachable: Path, below: str) -> None:
    """A store this user may not look into is passed over."""
    closed = reachable / "closed"
    (closed / below / "a-1").mkdir(parents=True)
    closed.chmod(0o700)
    assert run_as_other_user(IN_USE, closed / below) == "/target"


def test_targets_to_install_into_target(chosen: Settings) -> None:
    """With a target set that is the first choice, and the store the other."""
    first, store = targets_to_install_into(PIN, chosen)
    assert first == Target("MODELBOOT_TARGET", Path("/target"))
    assert store == Store("store", Path("/home") / STORE_NAME)
    assert (first.work, store.work) == (Path("/target/.modelboot"), Path("/home/.modelboot"))


def test_targets_to_install_into_order(monkeypatch: pytest.MonkeyPatch, free: Settings) -> None:
    """Without a target it is the environment, then the user site, then the store."""
    enable_user_site(monkeypatch, "/user")
    targets = [(target.label, target.folder) for target in targets_to_install_into(PIN, free)]
    assert targets == [
        ("environment", purelib()),
        ("user site", Path("/user")),
        ("store", Path("/home") / STORE_NAME),
    ]


@pytest.mark.parametrize("enabled", [False, None], ids=["switched-off", "unsafe"])
def test_targets_to_install_into_without_user_site(
    monkeypatch: pytest.MonkeyPatch, free: Settings, *, enabled: bool | None
) -> None:
    """Where Python does not use the user site, or there is no home, neither is a choice."""
    monkeypatch.setattr(site, "ENABLE_USER_SITE", enabled)
    labels = [target.label for target in targets_to_install_into(PIN, free._replace(home=None))]
    assert labels == ["environment"]


UNPACKED, BACKUP = Path("/target/.modelboot/x.stage/unpacked"), Path("/target/.modelboot/x.stage/backup0")
DIST_INFO = "en_acme_sm-1.2.0.dist-info"


def test_renames_of_a_shared_target() -> None:
    """In a shared target package and dist-info come and go one by one, and its own list of names changes."""
    shared = Target("environment", Path("/target"))
    existing = [Path("/target/en_acme_sm-1.1.0.dist-info"), Path("/target/en_acme_sm")]
    assert shared.renames_out(existing, BACKUP) == [(path, BACKUP / path.name) for path in existing]
    assert shared.renames_in(UNPACKED, ("en_acme_sm", DIST_INFO)) == [
        (UNPACKED / "en_acme_sm", Path("/target/en_acme_sm")),
        (UNPACKED / DIST_INFO, Path("/target") / DIST_INFO),
    ]
    assert shared.renamed_in == Path("/target")


@pytest.mark.parametrize("exists", [False, True], ids=["absent", "there"])
def test_renames_of_the_store(tmp_path: Path, *, exists: bool) -> None:
    """In the store a wheel's folder comes and goes as a whole, whatever is in it, and the store's list changes."""
    store = Store("store", tmp_path / STORE_NAME)
    if exists:
        store.folder.mkdir()
    out = [(store.folder, BACKUP / STORE_NAME)] if exists else []
    assert store.renames_out([], BACKUP) == store.renames_out([store.folder / "en_acme_sm"], BACKUP) == out
    assert store.renames_in(UNPACKED, ("en_acme_sm", DIST_INFO)) == [(UNPACKED, store.folder)]
    assert store.renamed_in == tmp_path
