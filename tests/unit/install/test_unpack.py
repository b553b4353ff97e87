"""A verified wheel becomes a complete package and dist-info, or nothing that could be taken for one."""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin
from modelboot._install.unpack import unpack
from modelboot.errors import InstallError
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel, Tampering, small_members, small_wheel

resource = pytest.importorskip("resource", reason="needs a limit on the size of files")

PIN = ModelPin(NAME, VERSION, "0" * 64)
OWN = {"INSTALLER", "REQUESTED", "direct_url.json"}


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Return the folder to be made."""
    return tmp_path / "unpacked"


@pytest.fixture(params=[0o022, 0o077], ids=["umask-022", "umask-077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set a umask for the length of a test."""
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def files(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def record(unpacked: Path) -> list[list[str]]:
    """Read the RECORD of what was unpacked."""
    return [*csv.reader((unpacked / DIST_INFO / "RECORD").read_text("utf-8").splitlines())]


def direct_url(pin: ModelPin, wheel: BuiltWheel, unpacked: Path) -> dict[str, object]:
    """Unpack a wheel and read what its direct_url.json says."""
    unpack(wheel.path, pin, unpacked)
    facts: dict[str, object] = json.loads((unpacked / DIST_INFO / "direct_url.json").read_bytes())
    return facts


def test_unpack_holds_package_and_dist_info_alone(wheel: BuiltWheel, unpacked: Path) -> None:
    """The members, what an installer adds, and nothing else is there."""
    unpack(wheel.path, PIN, unpacked)
    assert {path.name for path in unpacked.iterdir()} == {NAME, DIST_INFO}
    with zipfile.ZipFile(wheel.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    found = files(unpacked)
    assert found.keys() == members.keys() | {f"{DIST_INFO}/{name}" for name in OWN}
    assert {path: data for path, data in found.items() if path != f"{DIST_INFO}/RECORD" and path in members} == {
        path: data for path, data in members.items() if path != f"{DIST_INFO}/RECORD"
    }
    assert {path.name for path in unpacked.iterdir()} == {NAME, DIST_INFO}


def test_unpack_says_who_installed_it(wheel: BuiltWheel, unpacked: Path) -> None:
    """INSTALLER names modelboot, and REQUESTED marks what nothing else asked for."""
    unpack(wheel.path, PIN, unpacked)
    assert (unpacked / DIST_INFO / "INSTALLER").read_text("utf-8") == "modelboot\n"
    assert (unpacked / DIST_INFO / "REQUESTED").read_bytes() == b""


def test_unpack_direct_url(wheel: BuiltWheel, unpacked: Path) -> None:
    """direct_url.json names the pin's hash in both spellings of PEP 610 and the official release."""
    assert direct_url(PIN, wheel, unpacked) == {
        "archive_info": {"hash": f"sha256={PIN.sha256}", "hashes": {"sha256": PIN.sha256}},
        "url": PIN.release_url,
    }


def test_unpack_direct_url_without_credentials(wheel: BuiltWheel, unpacked: Path) -> None:
    """User, password and token of the pin's URL are not written to disk."""
    pin = ModelPin(NAME, VERSION, "0" * 64, url="https://user:secret@example.org/x/en.whl?token=secret#secret")
    assert direct_url(pin, wheel, unpacked)["url"] == "https://example.org/x/en.whl"
    assert not [path for path, data in files(unpacked).items() if b"secret" in data]


def test_unpack_record_lists_every_file(wheel: BuiltWheel, unpacked: Path) -> None:
    """RECORD and the files agree both ways, each file once with its digest and size, RECORD itself with none."""
    unpack(wheel.path, PIN, unpacked)
    expected = [[f"{DIST_INFO}/RECORD", "", ""]]
    for path, data in files(unpacked).items():
        if path != f"{DIST_INFO}/RECORD":
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            expected.append([path, f"sha256={digest}", str(len(data))])
    assert sorted(record(unpacked)) == sorted(expected)


@pytest.mark.parametrize(
    "path",
    [
        f"{NAME}/__init__.py",
        f"{NAME}/{NAME}-{VERSION}/config.cfg",
        f"{DIST_INFO}/METADATA",
        f"{DIST_INFO}/top_level.txt",
    ],
)
def test_unpack_member_of_other_bytes(tmp_path: Path, unpacked: Path, path: str) -> None:
    """A member whose bytes are not those RECORD names is refused by name."""
    wheel = small_wheel(tmp_path, tampering=Tampering(wrong_hashes=[path]))
    with pytest.raises(InstallError, match="does not match its hash") as refused:
        unpack(wheel.path, PIN, unpacked)
    assert refused.value.fault == "archive"
    assert refused.value.reason == f"{path} does not match its hash in RECORD"
    assert refused.value.path == PIN.filename


@pytest.mark.parametrize("damage", [b"\xff" * 12, b"\0" * 12], ids=["not-deflated", "other-bytes"])
def test_unpack_damaged_member(wheel: BuiltWheel, unpacked: Path, damage: bytes) -> None:
    """A member that does not unpack is the archive's fault."""
    member = f"{NAME}/{NAME}-{VERSION}/config.cfg"
    with zipfile.ZipFile(wheel.path) as archive:
        start = archive.getinfo(member).header_offset + 30 + len(member)
    content = bytearray(wheel.content)
    content[start : start + len(damage)] = damage
    wheel.path.write_bytes(content)
    with pytest.raises(InstallError, match=r"decompressing|CRC") as refused:
        unpack(wheel.path, PIN, unpacked)
    assert refused.value.fault == "archive"


def test_unpack_wheel_not_accepted_writes_nothing(tmp_path: Path, unpacked: Path) -> None:
    """A wheel that is not accepted is refused with every issue before the folder is made."""
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={"../x": b"", "x.pth": b""}))
    with pytest.raises(InstallError, match="leaves its folder") as refused:
        unpack(wheel.path, PIN, unpacked)
    assert refused.value.fault == "archive"
    assert refused.value.reason == "path '../x' leaves its folder; path configuration file x.pth"
    assert not unpacked.exists()


def test_unpack_too_little_disk_space(wheel: BuiltWheel, unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is visibly too little disk space nothing is written, and both figures are told."""
    asked = []

    def usage(folder: Path) -> object:
        asked.append(folder)
        return shutil._ntuple_diskusage(1000, 999, 1)  # noqa: SLF001 - what it returns

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(InstallError, match=r"needs 1,\d\d\d bytes, 1 are free") as refused:
        unpack(wheel.path, PIN, unpacked)
    assert (refused.value.fault, refused.value.path) == ("space", str(wheel.path.parent))
    assert asked == [wheel.path.parent]
    assert not unpacked.exists()


def test_unpack_disk_refuses_a_write(wheel: BuiltWheel, unpacked: Path) -> None:
    """What the system says of a write it cannot make reaches the caller as it is."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(small_members()[f"{NAME}/meta.json"]) + 1, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            unpack(wheel.path, PIN, unpacked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.errno == errno.EFBIG


def test_unpack_flushes_everything(wheel: BuiltWheel, unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and every folder is written through to the disk, each after what lies in it."""
    flushed: list[int] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    unpack(wheel.path, PIN, unpacked)
    paths = [unpacked, *unpacked.rglob("*")]
    assert {path.stat().st_ino for path in paths} == {*flushed}
    order = {path: len(flushed) - flushed[::-1].index(path.stat().st_ino) for path in paths}
    assert [path for path in paths if path != unpacked and order[path] > order[path.parent]] == []


def test_unpack_modes_follow_umask(wheel: BuiltWheel, unpacked: Path, umask: int) -> None:
    """Files and folders have the modes pip would give them."""
    unpack(wheel.path, PIN, unpacked)
    paths = [unpacked, *unpacked.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o777 & ~umask}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o666 & ~umask}


@pytest.mark.parametrize("name", ["pinned.whl", "x", "other-2.0-cp311-cp311-linux_x86_64.whl", "ü ü.whl.part"])
def test_unpack_arbitrary_file_name(tmp_path: Path, wheel: BuiltWheel, unpacked: Path, name: str) -> None:
    """What the wheel's file is called does not matter: its hash says what it is."""
    copy = tmp_path / name
    copy.write_bytes(wheel.content)
    unpack(copy, PIN, unpacked)
    assert record(unpacked)


@pytest.mark.parametrize(
    ("pinned", "inside"), [("1.0.0", "1.0"), ("1.0.0-beta", "1.0.0b0"), ("1.0.0-1", "1.0.0.post1")]
)
def test_unpack_version_spelled_otherwise(tmp_path: Path, unpacked: Path, pinned: str, inside: str) -> None:
    """A pin may spell the version otherwise than the wheel does."""
    wheel = small_wheel(tmp_path, inside)
    unpack(wheel.path, ModelPin(NAME, pinned, "0" * 64), unpacked)
    assert {path.name for path in unpacked.iterdir()} == {NAME, f"{NAME}-{inside}.dist-info"}
