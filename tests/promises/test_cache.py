"""One download a user: what was fetched for one environment serves all of them, checked again each time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from modelboot import OfflineError, ensure_model
from modelboot.cli import main
from support.children import OTHER, owned, public_folder, run_as_other_user, skip_unless_other_user
from support.folders import is_complete, snapshot
from support.server import ModelServer
from support.sources import publish
from support.wheels import NAME, BuiltWheel, altered


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: BuiltWheel) -> Path:
    """Return where the wheel will be kept: the cache is in use."""
    monkeypatch.setenv("MODELBOOT_CACHE", "1")
    return tmp_path / "home" / "wheels" / f"{wheel.sha256}.whl"


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the cache on another file system."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refused)


@pytest.fixture(params=["links", "copies"])
def either_way(request: pytest.FixtureRequest) -> None:
    """Try hard links, and copies."""
    if request.param == "copies":
        request.getfixturevalue("no_links")


@pytest.mark.usefixtures("either_way")
def test_second_environment_asks_no_server(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded for one target is there for the next, with the network cut off."""
    first = ensure_model(wheel.pin_at(None), target=tmp_path / "first")
    assert (first.source, len(mirror.requests)) == ("release", 1)
    assert kept.read_bytes() == wheel.content
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://127.0.0.1:9")
    second = ensure_model(wheel.pin_at(None), target=tmp_path / "second", offline=True)
    assert (second.source, second.downloaded_bytes) == ("cache", 0)
    assert is_complete(tmp_path / "second", wheel.pin)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


@pytest.mark.usefixtures("mirror")
def test_environment_that_was_emptied_downloads_nothing(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, target: Path
) -> None:
    """After `uv sync` has removed the model the next call asks no server."""
    ensure_model(wheel.pin_at(None))
    for path in target.glob("en_tiny_sm*"):
        shutil.rmtree(path)
    assert ensure_model(wheel.pin_at(None)).source == "cache"
    assert len(mirror.requests) == 1
    assert kept.exists()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("damage", ["other bytes", "cut short", "empty"])
def test_damaged_wheel_is_removed(  # noqa: PLR0913, PLR0917 - fixtures
    damage: str, mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, target: Path
) -> None:
    """A kept wheel whose hash is wrong is not used, goes, and the download that replaces it is kept."""
    kept.parent.mkdir(parents=True)
    other = altered(wheel, tmp_path / "other").read_bytes()
    kept.write_bytes({"other bytes": other, "cut short": wheel.content[:-1], "empty": b""}[damage])
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)
    assert kept.read_bytes() == wheel.content
    assert len(mirror.requests) == 1


def test_damaged_wheel_is_told(wheel: BuiltWheel, kept: Path, target: Path) -> None:
    """Where nobody else has the wheel, the error says what became of the one that was kept."""
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"PK other")
    with pytest.raises(OfflineError, match=r"cache \(.*\): was damaged, and is removed"):
        ensure_model(wheel.pin_at(None), offline=True)
    assert not kept.exists()
    assert not target.exists()


READ_ONLY = """\
import os, sys
os.environ.update(MODELBOOT_CACHE="1", MODELBOOT_INDEX="0", MODELBOOT_HOME=sys.argv[1], MODELBOOT_TARGET=sys.argv[2])
from modelboot import ModelPin, ensure_model
print(ensure_model(ModelPin(*sys.argv[3:6], url=sys.argv[6])).source)
"""


def test_damaged_wheel_in_a_read_only_cache(wheel: BuiltWheel) -> None:
    """A kept wheel that is damaged and cannot be removed is passed over: the next source is asked."""
    skip_unless_other_user()
    with public_folder() as folder:
        damaged = folder / "home" / "wheels" / f"{wheel.sha256}.whl"
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(b"PK other")
        release = folder / wheel.path.name
        shutil.copyfile(wheel.path, release)
        target = owned(folder / "target", OTHER)
        pin = (wheel.name, wheel.version, wheel.sha256, release.as_uri())
        assert run_as_other_user(READ_ONLY, damaged.parent.parent, target, *pin) == "release"
        assert is_complete(target, wheel.pin)
        assert damaged.read_bytes() == b"PK other"


@pytest.mark.usefixtures("either_way", "mirror")
def test_others_may_read_a_kept_wheel(wheel: BuiltWheel, kept: Path) -> None:
    """In a store that several users share the wheel that one of them downloaded is there for all: umask decides."""
    umask = os.umask(0o022)
    try:
        ensure_model(wheel.pin_at(None))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644


@pytest.mark.usefixtures("no_links", "mirror")
def test_files_of_others_beside_kept_wheels(wheel: BuiltWheel, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert main(["cache"]) == 0
    assert "1 wheel kept" in capsys.readouterr().out
    assert main(["cache", "--prune"]) == 0
    assert "1 wheel removed" in capsys.readouterr().out
    assert snapshot(kept.parent, without=()) == before


@pytest.mark.usefixtures("either_way")
def test_installed_files_are_not_the_kept_ones(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, target: Path
) -> None:
    """Whatever is done to the installed model, the kept wheel stays as it was."""
    ensure_model(wheel.pin_at(None))
    for path in target.rglob("*"):
        if path.is_file():
            path.write_bytes(b"edited")
    assert kept.read_bytes() == wheel.content
    assert mirror.requests


def test_nothing_is_kept_where_that_is_not_wanted(
    mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODELBOOT_CACHE=0 keeps no wheel, and takes none."""
    monkeypatch.setenv("MODELBOOT_CACHE", "0")
    ensure_model(wheel.pin_at(None), target=tmp_path / "first")
    assert not kept.parent.exists()
    kept.parent.mkdir(parents=True)
    kept.write_bytes(wheel.content)
    assert ensure_model(wheel.pin_at(None), target=tmp_path / "second").source == "release"
    assert len(mirror.requests) == 2


@pytest.mark.usefixtures("file_mirror")
def test_local_wheels_are_not_kept(wheel: BuiltWheel, kept: Path) -> None:
    """A wheel that lies on this machine anyway is not kept a second time."""
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert not kept.parent.exists()


@pytest.mark.parametrize("place", ["a file", "a link"])
def test_place_that_cannot_be_used(  # noqa: PLR0913, PLR0917 - fixtures
    place: str, mirror: ModelServer, wheel: BuiltWheel, kept: Path, tmp_path: Path, target: Path
) -> None:
    """A cache that cannot be written, or in which somebody put a link, is no reason to fail, and is left alone."""
    if place == "a file":
        kept.parent.parent.mkdir()
        kept.parent.write_text("mine", "utf-8")
    else:
        kept.parent.mkdir(parents=True)
        kept.symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path / "home", without=())
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)
    assert snapshot(tmp_path / "home", without=()) == before
    assert len(mirror.requests) == 1


@pytest.mark.usefixtures("no_links", "mirror")
def test_full_disk_keeps_nothing(wheel: BuiltWheel, kept: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that does not fit leaves nothing behind, and the install goes on."""

    def full(_: object, name: str) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)
    assert [*kept.parent.iterdir()] == []


def test_cache_command(  # noqa: PLR0913, PLR0917 - fixtures
    wheel: BuiltWheel,
    mirror: ModelServer,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`cache` lists what is kept, in text and as data, and `--prune` removes it and unfinished copies."""
    publish(monkeypatch, tmp_path / "tree", wheel)
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == "no wheels are kept\n"
    ensure_model(NAME)
    (kept.parent / f"{wheel.sha256}.{0:016x}.part").touch()
    assert main(["cache", "--json"]) == 0
    facts = {"model": f"{NAME} 1.0.0", "size_bytes": wheel.size_bytes, "sha256": wheel.sha256, "path": str(kept)}
    assert json.loads(capsys.readouterr().out) == [facts]
    assert main(["cache"]) == 0
    assert (
        f"{NAME} 1.0.0  0.0 MB  {wheel.sha256[:12]}\n\n1 wheel kept, 0.0 MB  {kept.parent}\n" in capsys.readouterr().out
    )
    assert main(["cache", "--prune"]) == 0
    assert f"1 wheel removed, 0.0 MB  {kept.parent}\n" in capsys.readouterr().out
    assert not kept.parent.exists()
    assert main(["cache", "--prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("file_mirror")
def test_wheel_that_is_fetched_into_a_folder(
    wheel: BuiltWheel, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fetch --dest` takes a kept wheel, too, and what is done to that copy afterwards harms nobody."""
    kept.parent.mkdir(parents=True)
    kept.write_bytes(wheel.content)
    assert main(["fetch", NAME, "--dest", str(tmp_path / "dest")]) == 0
    assert f"{NAME} 1.0.0  cache  " in capsys.readouterr().out
    (tmp_path / "dest" / f"{NAME}-1.0.0" / wheel.path.name).write_bytes(b"PK edited")
    assert kept.read_bytes() == wheel.content
