"""What a pipeline's wheel may hold: each breach has its own words, and nothing honest is refused."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._install import archive
from modelboot.errors import InstallError
from support.folders import is_complete, leftovers
from support.wheels import BREACHES, DIST_INFO, NAME, VERSION, Breach, BuiltWheel, Tampering, small_members, small_wheel

RECORD = f"{DIST_INFO}/RECORD"
META = f"{NAME}/meta.json"
Rows = list[list[str]]


def issues(wheel: Path, target: Path) -> list[str]:
    """Have a wheel refused before anything is written, and return all that is said of it."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(InstallError) as refused:
        ensure_model(ModelPin(NAME, VERSION, sha256, url=wheel.as_uri()))
    assert refused.value.fault == "archive"
    assert leftovers(target) == []
    return refused.value.reason.split("; ")


def tampered(folder: Path, **tampering: object) -> Path:
    """Build a wheel that is not honest."""
    return small_wheel(folder, tampering=Tampering(**tampering)).path  # type: ignore[arg-type]  # of its own types


def rewritten(folder: Path, change: Callable[[Rows], object]) -> Path:
    """Build a wheel whose RECORD's rows were changed in place."""
    with zipfile.ZipFile(small_wheel(folder).path) as opened:
        rows = [*csv.reader(opened.read(RECORD).decode().splitlines())]
    change(rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return tampered(folder, extra={RECORD: text.getvalue().encode("latin-1")})


def row(rows: Rows, path: str) -> list[str]:
    """Find a path's row."""
    return next(row for row in rows if row[0] == path)


def with_meta(column: int, text: str) -> Callable[[Rows], object]:
    """Return what changes one column of a row of RECORD, which comes after RECORD's own."""

    def change(rows: Rows) -> None:
        rows.sort(key=lambda row: row[0] != RECORD)
        row(rows, META)[column] = text

    return change


@pytest.mark.parametrize("case", BREACHES.values(), ids=BREACHES.keys())
def test_hostile_wheel(tmp_path: Path, target: Path, case: Breach) -> None:
    """Every breach of the policy is refused before anything is written, in words that name it and nothing else."""
    wheel = small_wheel(tmp_path, case.version, tampering=case.tampering)
    assert issues(wheel.path, target) == [case.issue]


NO_HASH = f"RECORD has no sha256 and size for {META}"
SIZE = len(small_members()[META])


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        pytest.param(with_meta(2, "7"), f"{META} has {SIZE} bytes, recorded 7", id="size-wrong"),
        pytest.param(with_meta(2, ""), NO_HASH, id="no-size"),
        pytest.param(with_meta(1, ""), NO_HASH, id="no-hash"),
        pytest.param(with_meta(1, "md5=x"), NO_HASH, id="md5"),
        pytest.param(lambda rows: row(rows, META).append("x"), ",x' does not have three columns", id="four-columns"),
        pytest.param(lambda rows: rows.append(row(rows, META)), f"duplicate member {META}", id="row-twice"),
        pytest.param(lambda rows: rows.clear(), "no RECORD", id="empty"),
        pytest.param(lambda rows: rows.remove(row(rows, RECORD)), f"member {RECORD} is not in RECORD", id="not-itself"),
        pytest.param(
            lambda rows: rows.append([f"{NAME}/../../x", "sha256=x", "1"]),
            f"RECORD lists {NAME}/../../x, which is not there",
            id="row-leaves-folder",
        ),
        pytest.param(lambda rows: rows.append(["\xff"]), "invalid start byte", id="not-UTF-8"),
        pytest.param(
            lambda rows: rows.append(["x" * (csv.field_size_limit() + 1)]),
            f"field larger than field limit ({csv.field_size_limit()})",
            id="endless",
        ),
    ],
)
def test_bad_record(tmp_path: Path, target: Path, change: Callable[[Rows], object], issue: str) -> None:
    """A RECORD that cannot be read, or does not describe every member with hash and size, is refused."""
    (only,) = issues(rewritten(tmp_path, change), target)
    assert only.endswith(issue)


def test_several_breaches_of_shape(tmp_path: Path, target: Path) -> None:
    """All that is wrong with names and kinds is told at once, and a link outside the package as both."""
    wheel = tampered(tmp_path, extra={"x.pth": b""}, links={"../y": "z"}, duplicates=[META])
    assert sorted(issues(wheel, target)) == [
        *(f"duplicate member {META}", "link or special file ../y"),
        *("path '../y' leaves its folder", "path configuration file x.pth"),
    ]


def test_several_breaches_of_description(tmp_path: Path, target: Path) -> None:
    """All that is wrong with what the wheel says of itself is told at once."""
    wheel = tampered(
        tmp_path, omitted=[f"{NAME}/__init__.py"], metadata_name="other", wheel_text="Wheel-Version: 1.0\n"
    )
    assert issues(wheel, target) == [
        f"METADATA names other, not {NAME}",
        "WHEEL is not of a pure Python wheel, version 1",
        f"no {NAME}/__init__.py",
    ]


def cut(content: bytes) -> bytes:
    """Leave out the end, where an archive has its directory."""
    return content[: len(content) * 9 // 10]


def damaged(content: bytes) -> bytes:
    """Damage what RECORD was packed to."""
    start = content.index(RECORD.encode()) + len(RECORD)
    return content[:start] + b"\xff" * 20 + content[start + 20 :]


def marked(offset: int, mark: bytes) -> Callable[[bytes], bytes]:
    """Return what overwrites a field of the first entry of the directory."""

    def change(content: bytes) -> bytes:
        start = content.index(b"PK\x01\x02") + offset
        return content[:start] + mark + content[start + len(mark) :]

    return change


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        pytest.param(marked(41, b"\x10"), f"link or special file {NAME}/__init__.py", id="FIFO"),
        pytest.param(lambda _: b"", "not a readable wheel: File is not a zip file", id="empty"),
        pytest.param(lambda _: b"sign in", "not a readable wheel: File is not a zip file", id="page"),
        pytest.param(lambda _: b"PK\5\6" + bytes(18), f"no {RECORD}", id="no member"),
        pytest.param(cut, "not a readable wheel: File is not a zip file", id="cut"),
        pytest.param(damaged, "not a readable wheel: Error -3 while decompressing", id="damaged"),
        pytest.param(marked(8, b"\1"), f"encrypted member {NAME}/__init__.py", id="encrypted"),
        pytest.param(marked(10, b"\x0c"), f"member {NAME}/__init__.py is neither stored nor deflated", id="bzip2"),
    ],
)
def test_damaged_archive(
    tmp_path: Path, target: Path, wheel: BuiltWheel, change: Callable[[bytes], bytes], issue: str
) -> None:
    """A file that is not a whole zip archive of plain, readable files is refused as such."""
    other = tmp_path / "x.whl"
    other.write_bytes(change(wheel.content))
    (only,) = issues(other, target)
    assert only.startswith(issue)


@pytest.mark.parametrize(
    "text", ["run = x\n", "[console_scripts]\nrun = a:b\nrun = c:d\n", "[x]\n[x]\n"], ids=["bare", "twice", "sections"]
)
def test_entry_points_that_cannot_be_read(tmp_path: Path, target: Path, text: str) -> None:
    """Entry points that installers would choke on are refused before one does."""
    told = issues(tampered(tmp_path, entry_points=text), target)
    assert told[0].startswith("entry_points.txt cannot be read: ")
    assert "\n" not in told[0]


def test_bomb(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that unpacks to far more than its size is refused, beyond what any wheel may unpack to."""
    monkeypatch.setattr(archive, "EXPANSION_FREE_BYTES", 1 << 20)
    wheel = tampered(tmp_path, extra={f"{NAME}/zeros": bytes(1 << 20)})
    with zipfile.ZipFile(wheel) as opened:
        total = sum(member.file_size for member in opened.infolist())
    assert issues(wheel, target) == [f"unpacks to {total} bytes, more than 50 times its size"]
    large = small_wheel(tmp_path / "large", tampering=Tampering(extra={f"{NAME}/table": os.urandom(1 << 20)}))
    assert ensure_model(large.pin).path.is_relative_to(target)


@pytest.mark.parametrize("path", [RECORD, f"{DIST_INFO}/METADATA", f"{DIST_INFO}/entry_points.txt"])
def test_huge_description(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A member that would be read whole is refused when it is too large for that."""
    comment = b"\n#" + os.urandom(1000).hex().encode()
    monkeypatch.setattr(archive, "SMALL_BYTES", len(comment) - 1)
    assert issues(tampered(tmp_path, extra={path: comment}), target)[0] == f"{path} has {len(comment)} bytes"


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param(Tampering(unlisted={f"{NAME}/": b"", f"{NAME}/data/": b""}), id="folders"),
        pytest.param(Tampering(omitted=[f"{DIST_INFO}/entry_points.txt"]), id="no-entry-points"),
        pytest.param(Tampering(entry_points="[console_scripts]\n[spacy_models]\na = b\n"), id="no-script-in-section"),
        pytest.param(Tampering(metadata_name="en-tiny.SM", metadata_version="1.0"), id="other-spelling"),
        pytest.param(Tampering(metadata_name="en--tiny_-sm"), id="doubled-separators"),
        pytest.param(Tampering(extra={f"{NAME}/empty": b"", f"{NAME}/a b/ü.txt": b"x"}), id="odd-names"),
        pytest.param(Tampering(wheel_text="Wheel-Version: 1.9\nRoot-Is-Purelib: True\n"), id="wheel-1.9"),
    ],
)
def test_unusual_but_honest_wheel(tmp_path: Path, target: Path, tampering: Tampering) -> None:
    """What a build tool may well do is not a breach, and is installed."""
    assert ensure_model(small_wheel(tmp_path, tampering=tampering).pin).path.is_relative_to(target)


def test_member_without_a_mode(wheel: BuiltWheel, target: Path) -> None:
    """A member whose mode was not noted, as some build tools leave it, is a plain file."""
    wheel.path.write_bytes(marked(38, bytes(4))(wheel.content))
    sha256 = hashlib.sha256(wheel.path.read_bytes()).hexdigest()
    assert ensure_model(ModelPin(NAME, VERSION, sha256, url=wheel.url)).path.is_relative_to(target)


def test_signed_wheel(tmp_path: Path, target: Path) -> None:
    """Signatures, which RECORD cannot list, are not a breach; nor are they kept, as installing changes RECORD."""
    signatures = {f"{DIST_INFO}/RECORD.jws": b"{}", f"{DIST_INFO}/RECORD.p7s": b""}
    wheel = small_wheel(tmp_path, tampering=Tampering(unlisted=signatures))
    ensure_model(wheel.pin)
    assert is_complete(target, wheel.pin)
    assert [*target.rglob("RECORD*")] == [target / RECORD]
