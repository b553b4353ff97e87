"""Races played move by move: what one racer does while another is in the middle of it, without locks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import pin_arguments, python
from support.folders import WORK, is_complete, leftovers, names
from support.wheels import NAME, OLDER, VERSION, small_wheel

pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

RACE = """
import fcntl, json, os, sys, time
from pathlib import Path
import modelboot
from support.children import forked

pin, target, pause = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]), Path(sys.argv[5]), int(sys.argv[6])
half_way, over, taken = (Path(sys.argv[7], name) for name in ("half way", "over", "taken"))
rename, renames = os.rename, []
fcntl.flock = lambda *_: None

def wait_for(file, seconds):
    until = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.005)

def first():
    def renaming(source, destination):
        renames.extend(path for path in (source, destination) if path.parent == target)
        if len(renames) == pause and not half_way.exists():
            half_way.touch()
            wait_for(taken, 0.3)
            over.touch()
        rename(source, destination)
    os.rename = renaming
    return modelboot.ensure_model(pin).version

def second():
    def renaming(source, destination):
        if source.parent == target and not over.exists():
            taken.touch()
        rename(source, destination)
    os.rename = renaming
    wait_for(half_way, 60)
    return modelboot.ensure_model(pin).version

print(json.dumps([forked([first, second]), half_way.exists(), taken.exists()]))
"""


def install_older(folder: Path) -> None:
    """Install an older version, of which the wheel is put into a folder."""
    ensure_model(small_wheel(folder / "old", OLDER).pin)


@pytest.mark.parametrize(
    ("pause", "older"), [(2, False), (2, True), (3, True), (4, True)], ids=["fresh", "old", "none", "new"]
)
def test_half_published_model_is_left_to_the_racer_that_publishes_it(
    pause: int,
    older: bool,  # noqa: FBT001 - a case
    pin: ModelPin,
    tmp_path: Path,
) -> None:
    """A racer that meets a package without its dist-info, a rename away, takes nothing, and uses no store."""
    target = tmp_path / "target"
    if older:
        install_older(tmp_path)
    done = python(RACE, *pin_arguments(pin), str(target), str(pause), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[VERSION, VERSION], True, False]
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []
    assert not (tmp_path / "home").exists()


def test_package_of_a_racer_that_comes_between_two_renames_stays(
    pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older version is out of the way then: the package stays, and no older dist-info is put back beside it."""
    package, rename = target / NAME, os.rename
    install_older(tmp_path)

    def renaming(source: Path, destination: Path) -> None:
        if destination == package and not package.exists():
            package.mkdir()
            (package / "content").write_text("the racer's", "utf-8")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", renaming)
    assert ensure_model(pin).path.is_relative_to(tmp_path / "home")
    assert names(target) == [WORK, NAME]
    assert names(package) == ["content"]
