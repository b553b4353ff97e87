"""Where a model is looked for, and where it goes."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelboot import ModelPin
from modelboot._install import target as _places
from modelboot._settings import Settings
from support.children import public_folder, run_as_other_user, skip_unless_other_user

PIN = ModelPin("en_acme_sm", "1.2.0", "0123456789abcdef" * 4)
STORE_NAME = "en_acme_sm-1.2.0-0123456789ab"
IS_WRITABLE = """
import sys
from pathlib import Path
from modelboot._install.target import Place, is_writable
folder = Path(sys.argv[1])
print(is_writable(Place("target", folder, folder / ".modelboot")))
"""
IN_USE = """
import sys
from modelboot._install.target import in_use
from modelboot._settings import read_settings
print(*in_use(read_settings({"MODELBOOT_TARGET": "/target", "MODELBOOT_HOME": sys.argv[1]})))
"""


@pytest.fixture
def chosen(settings: Settings) -> Settings:
    """Return settings with a target and a store."""
    return replace(settings, target=Path("/target"), home=Path("/home"))


@pytest.fixture
def free(settings: Settings) -> Settings:
    """Return settings without a target."""
    return replace(settings, target=None, home=Path("/home"))


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Return a folder that every user can reach."""
    skip_unless_other_user()
    with public_folder() as folder:
        yield folder


def enable_user_site(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Be an interpreter that uses the user's own site-packages."""
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: folder)


def place(folder: Path) -> _places.Place:
    """Make a place of a folder."""
    return _places.Place("target", folder, folder / _places.WORK)


def test_purelib() -> None:
    """The environment is this interpreter's folder for pure packages."""
    assert _places.purelib() == Path(sysconfig.get_paths()["purelib"])


def looked_in(pin: ModelPin, settings: Settings) -> list[Path]:
    """Return the folders a model is looked for in."""
    return [place.folder for place in _places.to_look_in(pin, settings)]


def test_to_look_in_target(chosen: Settings) -> None:
    """With a target set a model may lie there or in the store, and nowhere else."""
    assert looked_in(PIN, chosen) == [Path("/target"), Path("/home") / STORE_NAME]


def test_to_look_in_target_without_home(chosen: Settings) -> None:
    """A user without a store is looked for in the target alone."""
    assert looked_in(PIN, replace(chosen, home=None)) == [Path("/target")]


def test_to_look_in_order(monkeypatch: pytest.MonkeyPatch, free: Settings) -> None:
    """Without a target the environment comes first, then the user site, then sys.path, then the store; none twice."""
    enable_user_site(monkeypatch, "/user")
    monkeypatch.setattr(sys, "path", ["/a", str(_places.purelib()), "/user", "/a/../a/", "/b"])
    folders = [_places.purelib(), Path("/user"), Path("/a"), Path("/b"), Path("/home") / STORE_NAME]
    assert looked_in(PIN, free) == folders


@pytest.mark.parametrize("entry", ["", ".", "{cwd}", "{cwd}/", "{link}"], ids=["empty", "dot", "path", "slash", "link"])
def test_to_look_in_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: Settings, entry: str
) -> None:
    """The working directory is never looked in, however sys.path spells it; folders below it are."""
    work, link = tmp_path / "work", tmp_path / "link"
    work.mkdir()
    link.symlink_to(work)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", [entry.format(cwd=work, link=link), "below", "/a"])
    folders = looked_in(PIN, replace(free, home=None))
    assert folders == [_places.purelib(), work / "below", Path("/a")]


def test_to_look_in_deleted_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: Settings) -> None:
    """A working directory that was deleted is no reason to fail."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", "below", "/a"])
    assert looked_in(PIN, replace(free, home=None)) == [_places.purelib(), Path("/a")]


def test_in_use(tmp_path: Path, chosen: Settings) -> None:
    """Every wheel's folder of the store is in use, in order; locks, stages and stray files are not."""
    for name in ("b-1", "a-1", _places.WORK):
        (tmp_path / name).mkdir()
    (tmp_path / "stray").touch()
    folders = list(_places.in_use(replace(chosen, home=tmp_path)))
    assert folders == [Path("/target"), tmp_path / "a-1", tmp_path / "b-1"]


@pytest.mark.parametrize("home", [None, Path("/no/such/folder")], ids=["none", "missing"])
def test_in_use_without_a_store(chosen: Settings, home: Path | None) -> None:
    """Where there is no store the other folders are in use."""
    assert list(_places.in_use(replace(chosen, home=home))) == [Path("/target")]


@pytest.mark.parametrize("below", ["", "modelboot"], ids=["unreadable", "out-of-reach"])
def test_in_use_closed_store(reachable: Path, below: str) -> None:
    """A store this user may not look into is passed over."""
    closed = reachable / "closed"
    (closed / below / "a-1").mkdir(parents=True)
    closed.chmod(0o700)
    assert run_as_other_user(IN_USE, closed / below) == "/target"


def test_to_install_into_target(chosen: Settings) -> None:
    """With a target set that is the first choice, and the store the other."""
    first, store = _places.to_install_into(PIN, chosen)
    assert first == _places.Place("MODELBOOT_TARGET", Path("/target"), Path("/target/.modelboot"))
    assert store == _places.Place("store", Path("/home") / STORE_NAME, Path("/home/.modelboot"))
    assert (first.is_store, store.is_store) == (False, True)


def test_to_install_into_order(monkeypatch: pytest.MonkeyPatch, free: Settings) -> None:
    """Without a target it is the environment, then the user site, then the store."""
    enable_user_site(monkeypatch, "/user")
    places = [(place.label, place.folder) for place in _places.to_install_into(PIN, free)]
    assert places == [
        ("environment", _places.purelib()),
        ("user site", Path("/user")),
        ("store", Path("/home") / STORE_NAME),
    ]


@pytest.mark.parametrize("enabled", [False, None], ids=["switched-off", "unsafe"])
def test_to_install_into_without_user_site(
    monkeypatch: pytest.MonkeyPatch, free: Settings, *, enabled: bool | None
) -> None:
    """Where Python does not use the user site, or there is no home, neither is a choice."""
    monkeypatch.setattr(site, "ENABLE_USER_SITE", enabled)
    labels = [place.label for place in _places.to_install_into(PIN, replace(free, home=None))]
    assert labels == ["environment"]


@pytest.mark.parametrize("below", ["", "a", "a/b/c"], ids=["there", "missing", "deep"])
def test_is_writable_true(tmp_path: Path, below: str) -> None:
    """A folder is writable when it is, or when it could be made; nothing is made to find out."""
    assert _places.is_writable(place(tmp_path / below))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("below", ["", "a/b"], ids=["itself", "above"])
def test_is_writable_file_in_the_way(tmp_path: Path, below: str) -> None:
    """Where a file stands in the way no folder can be made."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o755)
    assert not _places.is_writable(place(file / below))


@pytest.mark.parametrize(
    ("mode", "below", "answer"),
    [
        (0o777, "", "True"),
        (0o777, "a/b", "True"),
        (0o755, "", "False"),
        (0o755, "a/b", "False"),
        (0o776, "", "False"),
        (0o700, "a/b", "False"),
    ],
    ids=["open", "below-open", "read-only", "below-read-only", "no-entry", "below-closed"],
)
def test_is_writable_by_another_user(reachable: Path, mode: int, below: str, answer: str) -> None:
    """Rights decide, also those of a folder one may not even look into."""
    folder = reachable / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert run_as_other_user(IS_WRITABLE, folder / below) == answer


def test_is_writable_work_folder_alone(reachable: Path) -> None:
    """A work folder from better times does not make a read-only folder writable."""
    work = reachable / _places.WORK
    work.mkdir()
    work.chmod(0o777)
    assert run_as_other_user(IS_WRITABLE, reachable) == "False"
