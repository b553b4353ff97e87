"""All pipelines are listed, of every installer, each with what is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import OTHER, public_folder, python, skip_unless_other_user
from support.commands import facts, run
from support.wheels import DIST_INFO, NAME, BuiltWheel, build_wheel, small_members, small_wheel, unzipped

CONFIG = f"{NAME}/{NAME}-1.0.0/config.cfg"
INIT, RECORD = f"{NAME}/__init__.py", f"{DIST_INFO}/RECORD"
SIZE = len(small_members()[CONFIG])


def listed(*keys: str) -> list[tuple[object, ...]]:
    """Return some facts of each model that is listed."""
    return [tuple(each[key] for key in keys) for each in facts("list")]


def test_models_of_others_and_of_the_store(wheel: BuiltWheel, target: Path, tmp_path: Path) -> None:
    """What pip installed is listed, too, and beside it another version that modelboot put into its store."""
    unzipped(wheel, target)
    newer = small_wheel(tmp_path, "2.0.0")
    store = ensure_model(newer.pin).path.parents[1]
    assert store.parent == tmp_path / "home"
    assert listed("name", "version", "installer", "folder", "sha256", "state") == [
        (NAME, "1.0.0", "pip", str(target), None, "hash not recorded by pip"),
        (NAME, "2.0.0", "modelboot", str(store), newer.sha256, "intact"),
    ]


def test_order(target: Path, tmp_path: Path) -> None:
    """Models are listed by name, versions by their numbers: 3.10 after 3.9, and what is not a version before both."""
    for name in ("en_c", "en_a"):
        ensure_model(build_wheel(tmp_path, name=name, members={f"{name}/__init__.py": b""}).pin)
    for version in ("3.10.0", "trunk", "3.9.0"):
        (target / f"en-b-{version}.dist-info").mkdir(parents=True)
        (target / f"en-b-{version}.dist-info" / "INSTALLER").write_text("modelboot\n")
    assert listed("name", "version") == [
        *(("en-b", version) for version in ("trunk", "3.9.0", "3.10.0")),
        ("en_a", "1.0.0"),
        ("en_c", "1.0.0"),
    ]


def test_what_is_no_model(target: Path, tmp_path: Path) -> None:
    """Other packages, odd files, and what else lies beside the folders of the store are not listed."""
    for folder in (target / "numpy-1.0.dist-info", target / "broken.dist-info", tmp_path / "home" / "site-packages"):
        folder.mkdir(parents=True)
    (target / DIST_INFO).write_text("a file of that name")
    (target / "numpy-1.0.dist-info" / "RECORD").write_text("numpy/__init__.py,,\n")
    (tmp_path / "home" / "a-1-0123456789ab").touch()
    ensure_model(small_wheel(tmp_path / "stray").pin, target=tmp_path / "home" / "site-packages")
    assert facts("list") == []


@pytest.mark.parametrize("home", ["", "missing"])
def test_no_store(home: str, pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no store, or no home folder for one, the other folders are looked into."""
    ensure_model(pin)
    monkeypatch.setenv("MODELBOOT_HOME", home and str(tmp_path / home))
    monkeypatch.setenv("HOME", "/nonexistent")
    assert listed("folder") == [(str(target),)]


def test_size_that_is_not_recorded(pin: ModelPin, target: Path) -> None:
    """A file of which RECORD has a hash and no size is judged by its hash."""
    ensure_model(pin)
    record = target / RECORD
    record.write_text(record.read_text().replace(f",{SIZE}\n", ",\n"))
    assert run("verify").status == 0


def test_closed_store(wheel: BuiltWheel) -> None:
    """A store that this user may not look into, or not even reach, is passed over."""
    skip_unless_other_user()
    with public_folder() as folder:
        shutil.copy(wheel.path, folder)
        closed, target = folder / "closed", folder / "target"
        ensure_model(wheel.pin, target=target)
        (closed / "below" / "a-1-0123456789ab").mkdir(parents=True)
        closed.chmod(0o700)
        for home in (closed, closed / "below"):
            env = {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(home)}
            done = python("from modelboot.cli import main; main(['list'])", user=OTHER, env={**env}, cwd="/")
            assert f"{NAME}  1.0.0    intact" in done.stdout


@pytest.mark.parametrize(
    ("change", "file", "told"),
    [
        pytest.param(None, INIT, f"{INIT} is missing", id="no init"),
        pytest.param(lambda data: data[:1], CONFIG, f"{CONFIG} has 1 bytes, recorded {SIZE}", id="short config"),
        pytest.param(None, RECORD, f"RECORD does not list {RECORD}", id="no RECORD"),
        pytest.param(lambda data: data[:-1], RECORD, f"RECORD does not list {RECORD}", id="RECORD cut short"),
        pytest.param(
            lambda data: data.replace(INIT.encode(), b"x"),
            RECORD,
            f"RECORD does not list {INIT}",
            id="init not recorded",
        ),
    ],
)
def test_damage(pin: ModelPin, target: Path, change: Callable[[bytes], bytes] | None, file: str, told: str) -> None:
    """A damaged model is listed with what is wrong first, and the next call installs it again."""
    ensure_model(pin)
    path = target / file
    if change:
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    assert listed("issues") == [([told],)]
    assert [ensure_model(pin).source for _ in range(2)] == ["release", "present"]
