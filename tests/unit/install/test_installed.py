"""All pipelines are listed, whoever installed them, each with what is wrong with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._install.installed import Installed, list_installed
from modelboot._install.target import Target, targets_in_use
from modelboot._settings import Settings
from support.wheels import BuiltWheel, build_wheel

DIST_INFO = "en_tiny_sm-1.0.0.dist-info"
DATA = "en_tiny_sm/en_tiny_sm-1.0.0"


def listed(settings: Settings) -> list[Installed]:
    """List what is installed in all targets."""
    return list_installed(targets_in_use(settings))


def test_list_nothing(settings: Settings, target: Path) -> None:
    """Where there is no folder there is nothing, and none is made."""
    assert listed(settings) == []
    assert not target.exists()


def test_list_own(settings: Settings, target: Path, tiny_pin: ModelPin) -> None:
    """What modelboot installed is listed with all facts."""
    ensure_model(tiny_pin)
    (installed,) = listed(settings)
    assert installed == Installed("en_tiny_sm", Target("MODELBOOT_TARGET", target), target / DIST_INFO)
    assert (installed.name, installed.version, installed.folder) == ("en_tiny_sm", "1.0.0", target)
    assert (installed.installer, installed.sha256, installed.first_problem) == ("modelboot", tiny_pin.sha256, None)


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
def test_list_of_pip(settings: Settings, target: Path, tiny: BuiltWheel, tmp_path: Path) -> None:
    """What pip installed is listed, too, and beside it another version that modelboot put into its store."""
    _pip_install(tiny, target)
    newer = build_wheel(tmp_path, version="2.0.0")
    ensure_model(newer.pin)
    store = tmp_path / "home" / f"en_tiny_sm-2.0.0-{newer.sha256[:12]}"
    assert [
        (item.version, item.installer, item.folder, item.sha256, item.first_problem) for item in listed(settings)
    ] == [
        ("1.0.0", "pip", target, tiny.sha256, None),
        ("2.0.0", "modelboot", store, newer.sha256, None),
    ]


def test_list_order_of_versions(settings: Settings, target: Path) -> None:
    """Versions are listed by their numbers: 3.10 after 3.9, and what is no version before both."""
    for version in ("3.10.0", "trunk", "3.9.0"):
        (target / f"en_tiny_sm-{version}.dist-info").mkdir(parents=True)
        (target / f"en_tiny_sm-{version}.dist-info" / "INSTALLER").write_text("modelboot\n")
    assert [item.version for item in listed(settings)] == ["trunk", "3.9.0", "3.10.0"]


def test_list_order(settings: Settings, target: Path, tmp_path: Path) -> None:
    """Pipelines are listed by name."""
    for name in ("en_c", "en_a", "en_b"):
        wheel = build_wheel(tmp_path, name=name)
        ensure_model(wheel.pin)
    assert [item.name for item in listed(settings)] == ["en_a", "en_b", "en_c"]
    assert {item.folder for item in listed(settings)} == {target}


def test_list_no_pipeline(settings: Settings, target: Path) -> None:
    """Other packages in the folder are not listed, nor are odd files."""
    for name in ("numpy-1.0.dist-info", "broken.dist-info"):
        (target / name).mkdir(parents=True)
    (target / "en_tiny_sm-1.0.0.dist-info").write_text("a file of that name")
    (target / "numpy-1.0.dist-info" / "RECORD").write_text("numpy/__init__.py,,\n")
    assert listed(settings) == []


def test_list_without_home(settings: Settings, target: Path, tiny_pin: ModelPin) -> None:
    """A user without a home folder has no store to look in."""
    ensure_model(tiny_pin)
    assert [item.folder for item in listed(settings._replace(home=None))] == [target]


def _remove(path: Path) -> None:
    path.unlink()


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _forget_init(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "en_tiny_sm/__init__.py" not in line))


@pytest.mark.parametrize(
    ("damage", "file", "told"),
    [
        (_remove, f"{DATA}/config.cfg", f"{DATA}/config.cfg is missing"),
        (_remove, "en_tiny_sm/__init__.py", "en_tiny_sm/__init__.py is missing"),
        (_shorten, f"{DATA}/tokenizer", f"{DATA}/tokenizer has 100 bytes, recorded 77066"),
        (_remove, f"{DIST_INFO}/METADATA", f"{DIST_INFO}/METADATA is missing"),
        (_remove, f"{DIST_INFO}/RECORD", f"RECORD does not list {DIST_INFO}/RECORD"),
        (_forget_init, f"{DIST_INFO}/RECORD", "RECORD does not list en_tiny_sm/__init__.py"),
    ],
    ids=["no config", "no init", "short tokenizer", "no METADATA", "no RECORD", "init not recorded"],
)
def test_list_damage(  # noqa: PLR0913, PLR0917 - a table of three columns and three fixtures
    settings: Settings, target: Path, tiny_pin: ModelPin, damage: Callable[[Path], None], file: str, told: str
) -> None:
    """A damaged pipeline is listed with the first thing that is wrong."""
    ensure_model(tiny_pin)
    size = (target / DATA / "tokenizer").stat().st_size
    damage(target / file)
    assert [item.first_problem for item in listed(settings)] == [told.replace("77066", str(size))]


def _pip_install(wheel: BuiltWheel, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, "--disable-pip-version-check", "--no-warn-script-location", str(wheel.path)], check=True)
