"""What a pipeline's wheel may hold: each breach has its own words, and nothing honest is refused."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin
from modelboot._install import archive
from modelboot._install.archive import InvalidWheel, WheelContents, validate
from support.wheels import BREACHES, DIST_INFO, NAME, VERSION, Breach, BuiltWheel, Tampering, small_members, small_wheel

RECORD = f"{DIST_INFO}/RECORD"
META = f"{NAME}/meta.json"
PIN = ModelPin(NAME, VERSION, "0" * 64)  # the hash is not this module's to check


def issues(wheel: Path) -> list[str]:
    """Have a wheel refused and return what is said of it."""
    with pytest.raises(InvalidWheel) as refused:
        validate(wheel, PIN)
    assert str(refused.value) == "; ".join(refused.value.issues)
    return refused.value.issues


def incompressible(size_bytes: int) -> bytes:
    """Make bytes that do not pack, so that a wheel of them does not look like a bomb."""
    return b"".join(hashlib.sha256(b"%d" % part).digest() for part in range(size_bytes // 32))


def record_text(wheel: BuiltWheel) -> str:
    """Read a wheel's RECORD."""
    with zipfile.ZipFile(wheel.path) as archive:
        return archive.read(RECORD).decode()


def rewritten(folder: Path, change: Callable[[list[list[str]]], object]) -> Path:
    """Build a wheel whose RECORD's rows were changed in place."""
    rows = [*csv.reader(record_text(small_wheel(folder)).splitlines())]
    change(rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return small_wheel(folder, tampering=Tampering(extra={RECORD: text.getvalue().encode()})).path


def row(rows: list[list[str]], path: str) -> list[str]:
    """Find a path's row."""
    return next(row for row in rows if row[0] == path)


@pytest.mark.parametrize("case", BREACHES.values(), ids=BREACHES.keys())
def test_validate_hostile_wheel(tmp_path: Path, case: Breach) -> None:
    """Every breach of the policy is refused, in words that name it and nothing else."""
    wheel = small_wheel(tmp_path, case.version, tampering=case.tampering)
    assert issues(wheel.path) == [case.issue]


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        pytest.param(
            lambda rows: row(rows, META).__setitem__(2, "7"),
            f"{META} has {len(small_members()[META])} bytes, recorded 7",
            id="size-wrong",
        ),
        pytest.param(
            lambda rows: row(rows, META).__setitem__(2, ""), f"RECORD has no sha256 and size for {META}", id="no-size"
        ),
        pytest.param(
            lambda rows: row(rows, META).__setitem__(1, ""), f"RECORD has no sha256 and size for {META}", id="no-hash"
        ),
        pytest.param(
            lambda rows: row(rows, META).__setitem__(1, "md5=x"), f"RECORD has no sha256 and size for {META}", id="md5"
        ),
        pytest.param(lambda rows: row(rows, META).append("x"), "does not have three columns", id="four-columns"),
        pytest.param(lambda rows: rows.append(row(rows, META)), f"duplicate member {META}", id="row-twice"),
        pytest.param(lambda rows: rows.clear(), "no RECORD", id="empty"),
        pytest.param(lambda rows: rows.remove(row(rows, RECORD)), f"member {RECORD} is not in RECORD", id="not-itself"),
        pytest.param(
            lambda rows: rows.append([f"{NAME}/../../x", "sha256=x", "1"]),
            f"RECORD lists {NAME}/../../x, which is not there",
            id="row-leaves-folder",
        ),
    ],
)
def test_validate_bad_record(tmp_path: Path, change: Callable[[list[list[str]]], object], issue: str) -> None:
    """A RECORD that does not describe every member with hash and size is refused."""
    (only,) = issues(rewritten(tmp_path, change))
    assert only.endswith(issue)


def test_validate_several_breaches_of_shape(tmp_path: Path) -> None:
    """All that is wrong with names and kinds is told at once."""
    tampering = Tampering(
        extra={"../x": b"", "x.pth": b"", f"{DIST_INFO}/INSTALLER": b""},
        links={f"{NAME}/x": "y"},
        duplicates=[META],
    )
    assert sorted(issues(small_wheel(tmp_path, tampering=tampering).path)) == [
        f"duplicate member {META}",
        f"link or special file {NAME}/x",
        f"member {DIST_INFO}/INSTALLER, which only an installer may write",
        "path '../x' leaves its folder",
        "path configuration file x.pth",
    ]


def test_validate_several_breaches_of_description(tmp_path: Path) -> None:
    """All that is wrong with what the wheel says of itself is told at once."""
    tampering = Tampering(
        unlisted={f"{NAME}/new": b"x"},
        listed_only=[f"{NAME}/old"],
        omitted=[f"{NAME}/__init__.py"],
        metadata_name="other",
        metadata_version="9",
        entry_points=f"[console_scripts]\nrun = {NAME}:load\n[gui_scripts]\nshow = {NAME}:load\n",
        wheel_text="Wheel-Version: 1.0\n",
    )
    assert issues(small_wheel(tmp_path, tampering=tampering).path) == [
        f"member {NAME}/new is not in RECORD",
        f"RECORD lists {NAME}/old, which is not there",
        f"METADATA names other, not {NAME}",
        "METADATA has version 9, not 1.0.0",
        "WHEEL is not of a pure Python wheel, version 1",
        "script run in entry_points.txt (console_scripts)",
        "script show in entry_points.txt (gui_scripts)",
        f"no {NAME}/__init__.py",
    ]


def test_validate_special_member_with_hostile_path(tmp_path: Path) -> None:
    """A link outside the package is told as both."""
    wheel = small_wheel(tmp_path, tampering=Tampering(links={"../x": "y"}))
    assert issues(wheel.path) == ["path '../x' leaves its folder", "link or special file ../x"]


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", b"PK\x03\x04"], ids=["empty", "page", "cut"])
def test_validate_no_archive(tmp_path: Path, content: bytes) -> None:
    """A file that is no zip archive is refused as such."""
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(content)
    assert issues(wheel) == ["not a readable wheel: File is not a zip file"]


@pytest.mark.parametrize("kept", [0.3, 0.9], ids=["early", "late"])
def test_validate_truncated_archive(tmp_path: Path, kept: float) -> None:
    """An archive whose end is missing is refused."""
    wheel = small_wheel(tmp_path).path
    content = wheel.read_bytes()
    wheel.write_bytes(content[: int(len(content) * kept)])
    assert issues(wheel) == ["not a readable wheel: File is not a zip file"]


def test_validate_damaged_member(tmp_path: Path) -> None:
    """A member that cannot be unpacked makes the wheel unreadable, not the program crash."""
    wheel = small_wheel(tmp_path).path
    with zipfile.ZipFile(wheel) as archive:
        start = archive.getinfo(RECORD).header_offset + 30 + len(RECORD)
    content = bytearray(wheel.read_bytes())
    content[start : start + 20] = b"\xff" * 20
    wheel.write_bytes(content)
    (issue,) = issues(wheel)
    assert issue.startswith("not a readable wheel: Error -3 while decompressing")


def test_validate_record_of_other_encoding(tmp_path: Path) -> None:
    """A RECORD that is not UTF-8 is refused."""
    (issue,) = issues(small_wheel(tmp_path, tampering=Tampering(extra={RECORD: b"\xff"})).path)
    assert issue.startswith("not a readable wheel: 'utf-8' codec")


def test_validate_record_with_endless_field(tmp_path: Path) -> None:
    """A RECORD the csv reader gives up on is refused."""
    padding = incompressible(20_000)
    tampering = Tampering(extra={RECORD: b"x" * (csv.field_size_limit() + 1), f"{NAME}/padding": padding})
    (issue,) = issues(small_wheel(tmp_path, tampering=tampering).path)
    assert issue.startswith("not a readable wheel: field larger than field limit")


@pytest.mark.parametrize(
    "text", ["run = x\n", "[console_scripts]\nrun = a:b\nrun = c:d\n", "[x]\n[x]\n"], ids=["bare", "twice", "sections"]
)
def test_validate_entry_points_unreadable(tmp_path: Path, text: str) -> None:
    """Entry points that installers would choke on are refused before one does."""
    told = issues(small_wheel(tmp_path, tampering=Tampering(entry_points=text)).path)
    assert told[0].startswith("entry_points.txt cannot be read: ")
    assert "\n" not in told[0]


def test_validate_encrypted_member(tmp_path: Path) -> None:
    """A member that needs a password is refused by name."""
    wheel = small_wheel(tmp_path).path
    content = bytearray(wheel.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 0x1  # general purpose flags of the first entry of the directory
    wheel.write_bytes(content)
    assert issues(wheel) == [f"encrypted member {NAME}/__init__.py"]


def test_validate_foreign_compression(tmp_path: Path) -> None:
    """A member packed in a way that no wheel is packed is refused before it is read."""
    wheel = small_wheel(tmp_path).path
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(f"{NAME}/x", b"x", zipfile.ZIP_BZIP2)
    assert issues(wheel) == [f"member {NAME}/x is neither stored nor deflated"]


def test_validate_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that unpacks to far more than its size is refused, beyond what any wheel may unpack to."""
    monkeypatch.setattr(archive, "EXPANSION_FREE_BYTES", 1 << 20)
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={f"{NAME}/zeros": bytes(1 << 20)}))
    with zipfile.ZipFile(wheel.path) as opened:
        total = sum(member.file_size for member in opened.infolist())
    assert issues(wheel.path) == [f"unpacks to {total} bytes, more than 50 times its size"]


@pytest.mark.parametrize("path", [RECORD, f"{DIST_INFO}/METADATA", f"{DIST_INFO}/entry_points.txt"])
def test_validate_huge_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A member that would be read whole is refused when it is too large for that."""
    comment = b"\n#" + incompressible(1000).hex().encode()
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={path: comment}))
    monkeypatch.setattr(archive, "SMALL_BYTES", len(comment) - 1)
    assert issues(wheel.path)[0] == f"{path} has {len(comment)} bytes"


def test_validate_honest_wheel(tmp_path: Path) -> None:
    """An honest wheel passes, and every digest and the size of all members are told."""
    wheel = small_wheel(tmp_path)
    with zipfile.ZipFile(wheel.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    digests = {path: hashlib.sha256(data).digest() for path, data in members.items() if path != RECORD}
    assert validate(wheel.path, PIN) == WheelContents(
        dist_info=DIST_INFO,
        hashes={
            path: "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=") for path, digest in digests.items()
        },
        total_bytes=sum(map(len, members.values())),
    )


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param(Tampering(unlisted={f"{NAME}/": b"", f"{NAME}/data/": b""}), id="folders"),
        pytest.param(
            Tampering(unlisted={f"{DIST_INFO}/RECORD.jws": b"{}", f"{DIST_INFO}/RECORD.p7s": b""}), id="signatures"
        ),
        pytest.param(Tampering(omitted=[f"{DIST_INFO}/entry_points.txt"]), id="no-entry-points"),
        pytest.param(Tampering(entry_points="[console_scripts]\n[spacy_models]\na = b\n"), id="no-script-in-section"),
        pytest.param(Tampering(metadata_name="en-tiny.SM", metadata_version="1.0"), id="other-spelling"),
        pytest.param(Tampering(metadata_name="en--tiny_-sm"), id="doubled-separators"),
        pytest.param(Tampering(extra={f"{NAME}/empty": b"", f"{NAME}/a b/ü.txt": b"x"}), id="odd-names"),
        pytest.param(Tampering(wheel_text="Wheel-Version: 1.9\nRoot-Is-Purelib: True\n"), id="wheel-1.9"),
    ],
)
def test_validate_unusual_but_honest_wheel(tmp_path: Path, tampering: Tampering) -> None:
    """What a build tool may well do is no breach."""
    assert validate(small_wheel(tmp_path, tampering=tampering).path, PIN).dist_info == DIST_INFO


def test_validate_version_spelled_shorter(tmp_path: Path) -> None:
    """A dist-info whose version is spelled otherwise than the pin's is the pinned one."""
    wheel = small_wheel(tmp_path, "1.0")
    assert validate(wheel.path, PIN).dist_info == f"{NAME}-1.0.dist-info"


def test_validate_file_absent(tmp_path: Path) -> None:
    """A file that is not there is the caller's to tell, not a breach of the policy."""
    with pytest.raises(FileNotFoundError, match=r"absent\.whl"):
        validate(tmp_path / "absent.whl", PIN)
