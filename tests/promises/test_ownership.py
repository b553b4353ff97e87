"""P6: nothing that modelboot did not write is replaced, repaired or removed; the store stands in for it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.commands import output
from support.folders import WORK, is_complete, leftovers, snapshot
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, BuiltWheel, build_wheel, small_wheel, unzipped

Put = Callable[[BuiltWheel, Path], None]


def hand_made(wheel: BuiltWheel, target: Path) -> None:
    """Lay out a package under development, without any dist-info."""
    shutil.unpack_archive(wheel.path, target, "zip")
    shutil.rmtree(target / DIST_INFO)


def editable(_: BuiltWheel, target: Path) -> None:
    """Install as `pip install -e` does: a dist-info, a finder and a path file, and no package."""
    (target / DIST_INFO).mkdir(parents=True)
    files = (f"__editable__.{NAME}.pth", f"__editable___{NAME}_finder.py")
    for file in files:
        (target / file).write_text("import os\n")
    (target / DIST_INFO / "INSTALLER").write_text("pip\n")
    (target / DIST_INFO / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, f"{DIST_INFO}/RECORD")))


def edited(wheel: BuiltWheel, target: Path) -> None:
    """Install by pip, and let the user edit the configuration."""
    unzipped(wheel, target)
    with (target / NAME / f"{NAME}-{VERSION}" / "config.cfg").open("a") as config:
        config.write("# mine\n")


def own_with_users_file(wheel: BuiltWheel, target: Path) -> None:
    """Install by modelboot, damage it, and let the user put a file into the package."""
    ensure_model(wheel.pin, target=target)
    (target / NAME / "notes.txt").write_text("mine")
    os.truncate(target / NAME / f"{NAME}-{VERSION}" / "config.cfg", 1)


def older_with_users_file(wheel: BuiltWheel, target: Path) -> None:
    """Install an older version by modelboot, and let the user put a file into the package."""
    older = small_wheel(wheel.path.parent / "older", OLDER)
    ensure_model(older.pin, target=target)
    (target / NAME / "notes.txt").write_text("mine")


def own_behind_a_link(wheel: BuiltWheel, target: Path) -> None:
    """Install by modelboot, move the package to another disk, put a link in its place, and damage it."""
    ensure_model(wheel.pin, target=target)
    (target / NAME).rename(target.parent / "elsewhere")
    (target / NAME).symlink_to(target.parent / "elsewhere")
    os.truncate(target / NAME / f"{NAME}-{VERSION}" / "config.cfg", 1)


def other_version(wheel: BuiltWheel, target: Path) -> None:
    """Install an older version by another program."""
    unzipped(small_wheel(wheel.path.parent / "older", OLDER), target)


FOREIGN: list[Put] = [
    *(hand_made, editable, edited, other_version),
    *(own_with_users_file, older_with_users_file, own_behind_a_link),
]


@pytest.mark.parametrize("put", FOREIGN, ids=lambda put: put.__name__)
def test_foreign_files_stay_and_the_store_stands_in(
    put: Put, wheel: BuiltWheel, target: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What others put under the model's name stays to the byte; the store has the pin, and one INFO line says so."""
    put(wheel, target)
    before = snapshot(tmp_path, without=[WORK, "home"])
    caplog.set_level(logging.INFO, "modelboot")
    model = ensure_model(wheel.pin)
    assert model.path.is_relative_to(tmp_path / "home")
    assert snapshot(tmp_path, without=[WORK, "home"]) == before
    (line,) = [record.getMessage() for record in caplog.records if "it goes to" in record.getMessage()]
    assert f"{target} (MODELBOOT_TARGET)" in line
    assert str(model.path.parents[1]) in line
    assert ensure_model(wheel.pin).source == "present"


def test_uninstall_from_a_folder_of_the_store_with_other_files(
    pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of the store that holds anything else is not removed as a whole."""
    monkeypatch.setenv("MODELBOOT_TARGET", "")
    store = tmp_path / "home" / f"{NAME}-{VERSION}-{pin.sha256[:12]}"
    ensure_model(pin, target=store)
    shutil.rmtree(store / WORK)
    (store / "data.txt").write_text("mine")
    (store / NAME / "linked").symlink_to(tmp_path)
    assert main(["uninstall", NAME]) == 1
    assert f"RECORD does not list data.txt, {NAME}/linked" in capsys.readouterr().err
    assert (store / "data.txt").read_text() == "mine"
    assert is_complete(store, pin)


def test_two_builds_of_one_version(wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """Two pins of one version with different bytes live side by side: from the third call on both are present."""
    other = small_wheel(tmp_path / "other", weight_bytes=801).pin
    models = [ensure_model(pin) for pin in (wheel.pin, other, wheel.pin, other)]
    assert [model.source for model in models] == ["release", "release", "present", "present"]
    assert is_complete(target, wheel.pin)
    assert is_complete(models[-1].path.parents[1], other)


@pytest.mark.parametrize("installer", ["pip", ""])
def test_copy_whose_hash_was_not_recorded(
    wheel: BuiltWheel, target: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, installer: str
) -> None:
    """What pip put there from an index is used as it is; report, log, list and verify say what is not known.

    With MODELBOOT_REQUIRE_HASH=1 it does not count, stays, and the store stands in, even where it has a file like that
    in which modelboot records a hash.
    """
    unzipped(wheel, target, installer)
    before = snapshot(target, without=[WORK])
    models = [ensure_model(wheel.pin) for _ in range(3)]
    assert [(model.source, model.verified) for model in models] == [("present", False)] * 3
    logged = f"recorded by {installer or 'another program'};"
    assert [record.levelname for record in caplog.records if logged in record.getMessage()] == ["WARNING"]
    for command in ("list", "verify"):
        assert f"hash not recorded by {installer or 'its installer'}" in output(command)
    monkeypatch.setenv("MODELBOOT_REQUIRE_HASH", "1")
    facts = target / DIST_INFO / "modelboot.json"
    facts.write_text(json.dumps({"archive_info": {"hashes": {"sha256": wheel.sha256}}}), "utf-8")
    model = ensure_model(wheel.pin)
    assert (model.verified, model.path.is_relative_to(target)) == (True, False)
    facts.unlink()
    assert snapshot(target, without=[WORK]) == before


@pytest.mark.parametrize("is_pinned", [True, False], ids=["the pinned bytes", "other bytes"])
def test_old_form_of_the_origin(wheel: BuiltWheel, target: Path, tmp_path: Path, *, is_pinned: bool) -> None:
    """An older pip's record, which has one hash and no `hashes`, proves a model, or leaves that copy to its owner."""
    unzipped(wheel, target)
    origin = {"url": wheel.url, "archive_info": {"hash": f"sha256={wheel.sha256 if is_pinned else '0' * 64}"}}
    (target / DIST_INFO / "direct_url.json").write_text(json.dumps(origin), "utf-8")
    before = snapshot(target)
    model = ensure_model(wheel.pin)
    assert (model.source, model.verified) == ("present" if is_pinned else "release", True)
    assert model.path.is_relative_to(target if is_pinned else tmp_path / "home")
    assert snapshot(target) == before


def test_capitals_in_the_package(tmp_path: Path, target: Path) -> None:
    """A package with capitals whose dist-info has none, as wheel builders write it, is intact and is removed whole."""
    ensure_model(build_wheel(tmp_path / "built", name="en_ACME", members={"en_ACME/__init__.py": b""}).pin)
    (dist_info,) = target.glob("*.dist-info")
    lower = target / dist_info.name.lower()
    record = (dist_info / "RECORD").read_text().replace(dist_info.name, lower.name)
    dist_info.rename(lower)
    (lower / "RECORD").write_text(record)
    assert "intact" in output("verify")
    assert main(["uninstall", "en_ACME"]) == 0
    assert leftovers(target) == []
