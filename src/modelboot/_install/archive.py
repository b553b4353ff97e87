"""Which archives are accepted. Judged by the directory of a wheel and a few small members; nothing is written.

installer 0.7 writes `../x`, and no version of it refuses what a pipeline has no use for (scripts, `.pth`, `.data`),
so the policy is modelboot's own.
"""

from __future__ import annotations

import csv
import email.parser
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from modelboot._install.installed import DIRECT_URL, OWN_FACTS
from modelboot._pin import ModelPin
from modelboot._versions import same_name, same_version

EXPANSION_FREE_BYTES = 100_000_000
"""All members together may always be so large: the wheel of an untrained pipeline is small, but its tables are not."""
EXPANSION_LIMIT = 50
"""Beyond that, how many times larger than the wheel its members may be together. Trained pipelines: about 2 times."""
SMALL_BYTES = 1 << 24
"""Members read into memory (RECORD, METADATA, WHEEL, entry points) may be so large; real ones have kilobytes."""
WRITTEN_BY_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", DIRECT_URL, OWN_FACTS})
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError)
"""What zipfile raises on an archive that is broken, when it is opened or when a member is read."""
DEPTH_LIMIT = 100
"""Folders in one another that a member may lie in: Python makes and removes them by recursion. Pipelines have 3."""
COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
SIGNATURES = frozenset({"RECORD.jws", "RECORD.p7s"})


class WheelContents(NamedTuple):
    """What a wheel that passed the policy holds."""

    dist_info: str
    """Name of the dist-info folder."""
    hashes: dict[str, str]
    """Digest RECORD gives for each member but itself and its signatures, in RECORD's own spelling ("sha256=…")."""
    total_bytes: int
    """Size of all members unpacked."""


class InvalidWheel(Exception):  # noqa: N818 - as other installers name it
    """The wheel is not accepted; every issue found is in `issues`."""

    def __init__(self, issues: list[str]) -> None:
        """Keep the issues, each a phrase such as "link name/x"."""
        super().__init__("; ".join(issues))
        self.issues = issues


def validate(wheel: BinaryIO, pin: ModelPin) -> WheelContents:
    """Check a verified wheel against the policy before anything of it is written.

    Args:
        wheel: The open wheel file; its SHA-256 has matched the pin's.
        pin: The pin.

    Returns:
        What the wheel holds.

    Raises:
        InvalidWheel: It holds what a pipeline's wheel may not hold; all issues are collected.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _validate(archive, pin, os.fstat(wheel.fileno()).st_size)
    except (*UNREADABLE, NotImplementedError, RuntimeError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidWheel([f"not a readable wheel: {error}"]) from error


def _validate(archive: zipfile.ZipFile, pin: ModelPin, wheel_bytes: int) -> WheelContents:
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = [member.filename for member in members]
    dist_info = next(
        (top for top in _tops(names) if top.endswith(".dist-info")), f"{pin.name}-{pin.version_label}.dist-info"
    )
    total = sum(member.file_size for member in members)
    issues = [
        *_duplicates(archive.namelist()),
        *(issue for member in archive.infolist() for issue in _member_issues(member, pin.name, dist_info)),
    ]
    if total > max(EXPANSION_FREE_BYTES, EXPANSION_LIMIT * wheel_bytes):
        issues.append(f"unpacks to {total} bytes, more than {EXPANSION_LIMIT} times its size")
    if issues:  # nothing is read from an archive of the wrong shape
        raise InvalidWheel(issues)
    rows = _record(archive, dist_info)
    issues = [
        *_record_issues(members, rows, dist_info),
        *_metadata_issues(archive, dist_info, pin),
        *_entry_point_issues(archive, dist_info),
    ]
    if f"{pin.name}/__init__.py" not in names:
        issues.append(f"no {pin.name}/__init__.py")
    if issues:
        raise InvalidWheel(issues)
    return WheelContents(dist_info, {path: digest for path, (digest, size) in rows.items() if size}, total)


def _tops(names: list[str]) -> list[str]:
    return sorted({name.split("/")[0] for name in names})


def _duplicates(names: list[str]) -> Iterator[str]:
    """Yield names that are one name on some file system."""
    seen: set[str] = set()
    for name in names:
        folded = name.casefold()
        if folded in seen:
            yield f"duplicate member {name}"
        seen.add(folded)


def _member_issues(member: zipfile.ZipInfo, name: str, dist_info: str) -> Iterator[str]:
    """Yield what is wrong with one member: one issue with its path, and every issue with its kind."""
    yield from _path_issues(member.filename, name, dist_info)
    if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        yield f"link or special file {member.filename}"
    if member.flag_bits & 0x1:
        yield f"encrypted member {member.filename}"
    if member.compress_type not in COMPRESSIONS:
        yield f"member {member.filename} is neither stored nor deflated"


def _path_issues(path: str, name: str, dist_info: str) -> Iterator[str]:
    parts = path.rstrip("/").split("/")
    if path.startswith("/") or "\\" in path or ":" in parts[0]:
        yield f"absolute or foreign path {path!r}"
    elif ".." in parts or "." in parts or "" in parts:
        yield f"path {path!r} leaves its folder"
    elif len(parts) > DEPTH_LIMIT:
        yield f"path of {len(parts)} folders, more than {DEPTH_LIMIT}: {path[:40]}…"
    elif parts[0].endswith(".data"):
        yield f"data member {path}"
    elif path.endswith(".pth"):
        yield f"path configuration file {path}"
    elif parts[0] not in {name, dist_info}:
        yield f"member {path} outside {name}/ and {dist_info}/"
    elif "__pycache__" in parts:
        yield f"compiled member {path}"
    elif parts[0] == dist_info and parts[-1] in WRITTEN_BY_INSTALLERS:
        yield f"member {path}, which only an installer may write"


def _record(archive: zipfile.ZipFile, dist_info: str) -> dict[str, tuple[str, str]]:
    """Read RECORD: digest and size by path."""
    text = _read(archive, f"{dist_info}/RECORD")
    rows = [row for row in csv.reader(text.splitlines()) if row]
    bad = [row for row in rows if len(row) != 3]  # noqa: PLR2004 - PEP 376: path, hash, size
    twice = list(_duplicates([row[0] for row in rows]))
    if bad or twice or not rows:
        told = [f"RECORD line {','.join(row)!r} does not have three columns" for row in bad]
        raise InvalidWheel([*told, *twice] or ["no RECORD"])
    return {path: (digest, size) for path, digest, size in rows}


def _record_issues(members: list[zipfile.ZipInfo], rows: dict[str, tuple[str, str]], dist_info: str) -> Iterator[str]:
    """Yield every difference between members and RECORD, both ways."""
    unsigned = {f"{dist_info}/{name}" for name in SIGNATURES}
    sizes = {member.filename: member.file_size for member in members if member.filename not in unsigned}
    yield from (f"member {path} is not in RECORD" for path in sizes if path not in rows)
    yield from (f"RECORD lists {path}, which is not there" for path in rows if path not in sizes)
    for path, (digest, size) in rows.items():
        if path == f"{dist_info}/RECORD":
            continue
        if not digest.startswith("sha256=") or not size:
            yield f"RECORD has no sha256 and size for {path}"
        elif size != str(sizes.get(path, size)):
            yield f"{path} has {sizes[path]} bytes, recorded {size}"


def _metadata_issues(archive: zipfile.ZipFile, dist_info: str, pin: ModelPin) -> Iterator[str]:
    metadata = email.parser.Parser().parsestr(_read(archive, f"{dist_info}/METADATA"), headersonly=True)
    wheel = email.parser.Parser().parsestr(_read(archive, f"{dist_info}/WHEEL"), headersonly=True)
    if not same_name(str(metadata["Name"]), pin.name):
        yield f"METADATA names {metadata['Name']}, not {pin.name}"
    if not pin.accepts(str(metadata["Version"])):
        yield f"METADATA has version {str(metadata['Version'])[:40]}, not {pin.version}"
    expected = pin.version or str(metadata["Version"])
    folder_name, _, folder_version = dist_info.removesuffix(".dist-info").rpartition("-")
    if not same_name(folder_name, pin.name) or not same_version(folder_version, expected):
        yield f"{dist_info} is not of {pin.name} {expected}"
    if str(wheel["Root-Is-Purelib"]).lower() != "true" or not str(wheel["Wheel-Version"]).startswith("1."):
        yield "WHEEL is not of a pure Python wheel, version 1"


def _entry_point_issues(archive: zipfile.ZipFile, dist_info: str) -> Iterator[str]:
    path = f"{dist_info}/entry_points.txt"
    if path not in archive.namelist():
        return
    import configparser

    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names as they are written
    try:
        parser.read_string(_read(archive, path))
    except configparser.Error as error:
        yield f"entry_points.txt cannot be read: {error}".replace("\n", " ")
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section) and parser.options(section):
            yield f"script {parser.options(section)[0]} in entry_points.txt ({section})"


def _read(archive: zipfile.ZipFile, path: str) -> str:
    try:
        member = archive.getinfo(path)
    except KeyError as error:
        raise InvalidWheel([f"no {path}"]) from error
    if member.file_size > SMALL_BYTES:
        raise InvalidWheel([f"{path} has {member.file_size} bytes"])
    return archive.read(member).decode("utf-8")
