"""A model is put in place by renames, and all of them are undone when one fails."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelboot import InstallError, ModelPin, ensure_model
from support.children import DIED, forked
from support.commands import output
from support.folders import WORK, is_complete, leftovers, snapshot
from support.wheels import DIST_INFO, NAME, OLDER, small_wheel

OLD_INFO = f"{NAME}-{OLDER}.dist-info"
MOVES = [("out", OLD_INFO), ("out", NAME), ("in", NAME), ("in", DIST_INFO)]
"""What is renamed while a version replaces an older one: out of the target, or into it."""
REFUSED = OSError(errno.EIO, "refused")
INTERRUPTED = KeyboardInterrupt("^C")

Move = tuple[str, str]
Rename = Callable[[], object]


@pytest.fixture
def old(target: Path, tmp_path: Path) -> ModelPin:
    """Install an older version of modelboot's own, which gives way to `pin`; return its pin."""
    pin = small_wheel(tmp_path / "old", OLDER).pin
    ensure_model(pin)
    assert is_complete(target, pin)
    return pin


def at_each_move(monkeypatch: pytest.MonkeyPatch, target: Path, act: Callable[[Move, Rename], object]) -> None:
    """Do something else than each rename that takes a folder out of the target or brings one in, the first time."""
    rename, seen = os.rename, set[Move]()

    def moving(source: Path, destination: Path) -> None:
        is_out = Path(source).parent == target
        move = ("out" if is_out else "in", Path(source if is_out else destination).name)
        if target in {Path(source).parent, Path(destination).parent} and move not in seen:
            seen.add(move)
            act(move, lambda: rename(source, destination))
        else:
            rename(source, destination)

    monkeypatch.setattr(os, "rename", moving)


@pytest.mark.parametrize(
    ("error", "is_made"),
    [(REFUSED, False), (INTERRUPTED, False), (INTERRUPTED, True)],
    ids=["refused", "interrupted before", "interrupted after"],
)
@pytest.mark.parametrize("failing", MOVES, ids=" ".join)
def test_moves_are_undone(  # noqa: PLR0913, PLR0917 - three fixtures
    old: ModelPin,
    pin: ModelPin,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: Move,
    error: BaseException,
    *,
    is_made: bool,
) -> None:
    """Whichever move fails, everything is where it was, and the failure is the one that is told."""

    def fail(move: Move, rename: Rename) -> None:
        if move != failing or is_made:
            rename()
        if move == failing:
            raise error

    before = snapshot(target, without=[WORK])
    at_each_move(monkeypatch, target, fail)
    with pytest.raises((InstallError, KeyboardInterrupt)) as caught:
        ensure_model(pin)
    assert error in {caught.value, caught.value.__cause__}
    assert snapshot(target, without=[WORK]) == before
    assert leftovers(target, old) == []


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(("place", "left"), [(NAME, [NAME]), (DIST_INFO, sorted([NAME, OLD_INFO, DIST_INFO]))])
def test_moves_are_not_undone_over_a_rival(
    pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch, place: str, left: list[str]
) -> None:
    """Where another program has taken a place its files stay, and no old dist-info comes back beside its package."""

    def race(move: Move, rename: Rename) -> None:
        if move == ("in", place):
            (target / place).mkdir()
            (target / place / "theirs").touch()
            raise REFUSED
        rename()

    at_each_move(monkeypatch, target, race)
    with pytest.raises(InstallError, match="refused"):
        ensure_model(pin)
    assert [path.name for path in (target / place).iterdir()] == ["theirs"]
    assert leftovers(target) == left


def test_package_that_a_rival_takes_away(
    old: ModelPin, pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old dist-info, moved out already, does not come back beside what the rival has published meanwhile."""
    rival = tmp_path / "rival"
    ensure_model(pin, target=rival)

    def race(move: Move, rename: Rename) -> None:
        if move != ("out", NAME):
            rename()
            return
        (target / NAME).rename(rival / "taken")
        try:
            rename()
        finally:
            for top in (NAME, DIST_INFO):
                (rival / top).rename(target / top)

    at_each_move(monkeypatch, target, race)
    assert ensure_model(pin).version == pin.version != old.version
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_half_of_another_version(pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that a killed install has put there, without its dist-info, gives way to another version."""
    older = small_wheel(tmp_path / "old", OLDER).pin

    def die(move: Move, rename: Rename) -> None:
        if move == ("in", OLD_INFO):
            os.kill(os.getpid(), signal.SIGKILL)
        rename()

    with monkeypatch.context() as patch:
        at_each_move(patch, target, die)
        assert forked([lambda: ensure_model(older).version]) == [DIED]
    assert [path.name for path in target.iterdir() if path.name != WORK] == [NAME]
    ensure_model(pin)
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


def test_place_that_does_not_come_to_rest(pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another program takes each move's folder away, that is told in the end, with model and folder."""

    def race(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "rename", race)
    with pytest.raises(InstallError, match="other programs kept changing it") as failed:
        ensure_model(pin)
    assert (failed.value.fault, failed.value.model, failed.value.path) == ("busy", str(pin), str(target))
    assert leftovers(target) == []


def test_folders_that_cannot_be_moved_out(pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uninstall` removes those of a lower layer of an image where they are, RECORD first: then the model is absent."""
    ensure_model(pin)
    rmtree, record = shutil.rmtree, target / DIST_INFO / "RECORD"

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def remove(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as rmtree
        assert not record.exists()
        rmtree(*arguments, **options)

    at_each_move(monkeypatch, target, refuse)
    monkeypatch.setattr(shutil, "rmtree", remove)
    assert "removed" in output("uninstall", NAME)
    assert leftovers(target) == []


def test_stage_that_cannot_be_removed(pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage in which a network file system keeps an open file stays, and the model is installed all the same."""
    rmdir = os.rmdir

    def refuse(path: Any, **options: Any) -> None:  # noqa: ANN401 - as rmdir
        if str(path).endswith(".stage"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", refuse)
    assert ensure_model(pin).source == "release"
    assert is_complete(target, pin)
    assert [left.suffix for left in (target / WORK).iterdir()] == [".stage"]  # the lock file is gone
