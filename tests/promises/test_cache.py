"""One download a user: what was fetched for one environment serves all of them, checked again each time."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from modelboot import OfflineError, ensure_model
from modelboot._install import unpack as unpacking
from support.children import OTHER, command, owned, public_folder, python, skip_unless_other_user
from support.commands import MAIN, facts, output, reference, run
from support.folders import is_complete, snapshot
from support.layers import refuse_renames
from support.server import ModelServer
from support.sources import publish
from support.wheels import NAME, BuiltWheel, altered


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: BuiltWheel) -> Path:
    """Return where the wheel will be kept: the cache is in use."""
    monkeypatch.setenv("MODELBOOT_CACHE", "1")
    return tmp_path / "home" / "wheels" / f"{wheel.sha256}.whl"


@pytest.fixture
def other_disk(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the cache on another file system."""
    refuse_renames(monkeypatch, lambda _, destination: destination == kept)


@pytest.fixture(params=["same disk", "other disk"])
def either_way(request: pytest.FixtureRequest) -> None:
    """Try a cache on the target's file system, and one on another."""
    if request.param == "other disk":
        request.getfixturevalue("other_disk")


def keep(kept: Path, content: bytes) -> None:
    """Put a file where the wheel would be kept."""
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)


@pytest.mark.usefixtures("either_way")
def test_second_environment_asks_no_server(mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path) -> None:
    """What was downloaded for one target is there for the next, also when the first has lost it or spoiled it."""
    places, pin = [tmp_path / name for name in ("first", "second")], wheel.pin_at(None)
    umask = os.umask(0o022)
    try:
        model = ensure_model(pin, target=places[0])
        assert (model.source, model.downloaded_bytes) == ("release", wheel.size_bytes)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644  # umask decides: other users of a shared store may read it
    for path in places[0].rglob("*"):
        if path.is_file():
            path.write_bytes(b"edited")
    shutil.rmtree(places[0])
    for place in places:
        model = ensure_model(pin, target=place, offline=True)
        assert (model.source, model.downloaded_bytes) == ("cache", 0)
        assert is_complete(place, pin)
    assert len(mirror.requests) == 1
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert kept.read_bytes() == wheel.content


SWAPPER = """
import os, sys, time
kept, *contents = sys.argv[1:]
contents = [open(content, "rb").read() for content in contents]
while os.getppid() != 1:
    for content in contents:
        try:
            with open(os.open(kept, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
                file.write(content)
            os.write(1, b".")
        except OSError:
            if os.path.exists(kept):
                os.unlink(kept)
        time.sleep(0.0005)
"""
"""Writes the right bytes and others into a file, until it is killed; prints a dot each time."""


@pytest.mark.parametrize("installs", [20, pytest.param(1000, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("by", ["same user", "other user", "group", "wheelhouse"])
def test_bytes_that_others_swap(by: str, installs: int, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes to the cache all the while, as its owner or as one of a group, gets no byte into what is installed.

    Nor does who writes to a wheelhouse.
    """
    user = OTHER if by in {"other user", "group"} else None
    if user:
        skip_unless_other_user()
    with public_folder() as folder:
        contents = [str(shutil.copy(wheel.path, folder)), str(altered(wheel, folder / "altered"))]
        place = f"house/{wheel.path.name}" if by == "wheelhouse" else f"home/wheels/{wheel.sha256}.whl"
        keep(swapped := folder / place, wheel.content)
        if by == "other user":
            os.chown(swapped.parent, OTHER, OTHER)
        elif by == "group":
            os.chown(swapped.parent, 0, OTHER)
            swapped.parent.chmod(0o2775)
        monkeypatch.setenv("MODELBOOT_CACHE", "1")
        monkeypatch.setenv("MODELBOOT_HOME", str(folder / "home"))
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(swapped.parent) if by == "wheelhouse" else "")
        monkeypatch.setattr(os, "fsync", lambda _: None)  # saves the time
        umask, dots = os.umask(0o002), folder / "dots"
        with dots.open("wb") as out:
            swapper = subprocess.Popen(command(SWAPPER, str(swapped), *contents, user=user), stdout=out)
        try:
            while installs > 0 or dots.stat().st_size < 200:
                installs -= 1
                assert swapper.poll() is None
                ensure_model(wheel.pin_at(Path(contents[0]).as_uri()), target=folder / "target")
                assert is_complete(folder / "target", wheel.pin)
                shutil.rmtree(folder / "target")
        finally:
            os.umask(umask)
            swapper.kill()
            swapper.wait()


def test_bytes_swapped_after_the_hash(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the cache when an archive is unpacked is not what is unpacked, be it downloaded or kept before."""
    really, other = unpacking.unpack, altered(wheel, tmp_path / "other").read_bytes()

    def unpack(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as unpack
        if kept.exists():
            kept.write_bytes(other)
        really(*arguments, **options)

    monkeypatch.setattr(unpacking, "unpack", unpack)
    for name in ("first", "second"):
        ensure_model(wheel.pin_at(None), target=tmp_path / name)
        assert is_complete(tmp_path / name, wheel.pin)
    assert kept.read_bytes() == other
    assert len(mirror.requests) == 1


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("damage", ["other bytes", "cut short", "empty", "page"])
def test_damaged_wheel_is_replaced(  # noqa: PLR0913, PLR0917 - fixtures
    damage: str, mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, target: Path
) -> None:
    """A kept wheel whose hash is wrong is not used, goes, and the download that replaces it is kept."""
    other = altered(wheel, tmp_path / "other").read_bytes()
    keep(kept, {"other bytes": other, "cut short": wheel.content[:-1], "empty": b"", "page": b"<html>"}[damage])
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)
    assert kept.read_bytes() == wheel.content
    assert len(mirror.requests) == 1


def test_damaged_wheel_is_told(wheel: BuiltWheel, kept: Path) -> None:
    """Where no source has the wheel, the error says what became of the one that was kept."""
    keep(kept, b"PK other")
    with pytest.raises(OfflineError, match=r"cache \(.*\): was damaged, and is removed"):
        ensure_model(wheel.pin_at(None), offline=True)
    assert not kept.exists()


def test_damaged_wheel_in_a_read_only_cache(wheel: BuiltWheel) -> None:
    """A kept wheel that is damaged and cannot be removed is passed over: the next source is asked."""
    skip_unless_other_user()
    with public_folder() as folder:
        damaged = folder / "home" / "wheels" / f"{wheel.sha256}.whl"
        keep(damaged, b"PK other")
        pin = wheel.pin_at(Path(shutil.copy(wheel.path, folder)).as_uri())
        target = owned(folder / "target", OTHER)
        env = {"MODELBOOT_CACHE": "1", "MODELBOOT_HOME": str(folder / "home"), "MODELBOOT_TARGET": str(target)}
        assert "  release, " in python(MAIN, "install", reference(pin), user=OTHER, env={**env}).stdout
        assert is_complete(target, pin)
        assert damaged.read_bytes() == b"PK other"


@pytest.mark.usefixtures("other_disk", "mirror")
def test_files_of_others_beside_kept_wheels(wheel: BuiltWheel, kept: Path) -> None:
    """Where MODELBOOT_HOME has a folder `wheels` of the user's own, no file of it is listed, removed or taken."""
    kept.parent.mkdir(parents=True)
    for name in ("numpy-1.0-py3-none-any.whl", "video.part", "notes.txt", f"{wheel.sha256}.part", "abc.whl"):
        (kept.parent / name).write_text("mine", "utf-8")
        os.utime(kept.parent / name, (0, 0))
    before = snapshot(kept.parent, without=())
    abandoned = kept.parent / f"{wheel.sha256}.{0:016x}.part"
    abandoned.touch()
    os.utime(abandoned, (0, time.time() - 7200))
    ensure_model(wheel.pin_at(None))
    assert not abandoned.exists()
    assert "1 wheel kept" in output("cache")
    assert "1 wheel removed" in output("cache", "--prune")
    assert snapshot(kept.parent, without=()) == before


def test_cache_that_is_switched_off(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODELBOOT_CACHE=0 keeps no wheel, and takes none."""
    monkeypatch.setenv("MODELBOOT_CACHE", "0")
    ensure_model(wheel.pin_at(None), target=tmp_path / "first")
    assert not kept.parent.exists()
    keep(kept, wheel.content)
    assert ensure_model(wheel.pin_at(None), target=tmp_path / "second").source == "release"
    assert len(mirror.requests) == 2


@pytest.mark.parametrize("place", ["a file", "a link"])
def test_place_that_cannot_be_used(  # noqa: PLR0913, PLR0917 - fixtures
    place: str, mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, target: Path
) -> None:
    """A cache that cannot be written, or that has a link in it, is not a reason to fail, and is left alone."""
    if place == "a file":
        keep(kept.parent, b"mine")
    else:
        kept.parent.mkdir(parents=True)
        kept.symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path / "home", without=())
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)
    assert snapshot(tmp_path / "home", without=()) == before
    assert len(mirror.requests) == 1


@pytest.mark.usefixtures("other_disk", "mirror")
@pytest.mark.parametrize("by", ["the system", "a signal handler"])
def test_full_disk_keeps_nothing(
    wheel: BuiltWheel, kept: Path, target: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A copy that does not fit leaves nothing behind, and the install goes on; a handler's own error passes through."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(_: object, name: str) -> None:
        Path(name).write_bytes(b"half")
        signal.raise_signal(signal.SIGALRM) if by == "a signal handler" else fail()

    before = signal.signal(signal.SIGALRM, fail)
    monkeypatch.setattr(shutil, "copyfile", full)
    with nullcontext() if by == "the system" else pytest.raises(OSError, match=r"^\[Errno 28\]"):
        ensure_model(wheel.pin_at(None))
        assert is_complete(target, wheel.pin)
    signal.signal(signal.SIGALRM, before)
    assert [*kept.parent.iterdir()] == []


def test_cache_command(
    wheel: BuiltWheel, mirror: ModelServer, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cache` lists what is kept, in text and as data, and `--prune` removes it and unfinished copies.

    A wheel that lies on this machine anyway is not kept a second time.
    """
    publish(monkeypatch, tmp_path / "tree", wheel)
    assert ensure_model(NAME, target=tmp_path / "other").source == "release"
    assert output("cache") == "no wheels are kept\n"
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    ensure_model(NAME)
    (kept.parent / f"{wheel.sha256}.{0:016x}.part").touch()
    told = {"model": f"{NAME} 1.0.0", "size_bytes": wheel.size_bytes, "sha256": wheel.sha256, "path": str(kept)}
    assert facts("cache") == [told]
    row, summary = f"{NAME} 1.0.0  0.0 MB  {wheel.sha256[:12]}", f"1 wheel kept, 0.0 MB  {kept.parent}"
    assert f"{row}\n\n{summary}\n" in output("cache")
    assert f"1 wheel removed, 0.0 MB  {kept.parent}\n" in output("cache", "--prune")
    assert not kept.parent.exists()
    assert facts("cache", "--prune") == []


@pytest.mark.usefixtures("file_mirror")
def test_wheel_that_is_fetched_into_a_folder(wheel: BuiltWheel, kept: Path, tmp_path: Path) -> None:
    """`fetch --dest` takes a kept wheel, too, and what is done to that copy afterwards harms no other copy."""
    keep(kept, wheel.content)
    dest = tmp_path / "dest"
    dest.mkdir()
    shutil.copy(wheel.path, dest)
    told = run("fetch", NAME, "--dest", dest)
    assert (f"{NAME} 1.0.0  cache  " in told.out, "other bytes" in told.err) == (True, False)
    (dest / f"{NAME}-1.0.0" / wheel.path.name).write_bytes(b"PK edited")
    assert kept.read_bytes() == wheel.content
