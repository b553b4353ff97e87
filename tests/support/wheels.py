"""Wheels built on the spot: of tiny pipelines that load, of files that only install, and those the policy refuses."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import random
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelboot import ModelPin

NAME, VERSION, OLDER = "en_tiny_sm", "1.0.0", "0.9.0"
"""The model that most tests are about, and an older version of it."""
DIST_INFO = f"{NAME}-{VERSION}.dist-info"
SPACY_RANGE = ">=3.7,<4"

# The text of spaCy's own package template, which official wheels carry.
_INIT = b"""\
from pathlib import Path
from spacy.util import load_model_from_init_py, get_model_meta


__version__ = get_model_meta(Path(__file__).parent)['version']


def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
"""
_WHEEL = "Wheel-Version: 1.0\nGenerator: modelboot-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\nSummary: A tiny pipeline for tests\n"
_FILE_MODE, _LINK_MODE, _UNIX, _EPOCH = 0o100644, 0o120777, 3, (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel on disk with the facts a pin needs.

    Attributes:
        path: The wheel file.
        name: The distribution it was built as.
        version: The version it was built as.
        sha256: Hex digest of the whole file.
        size_bytes: Length of the whole file.
    """

    path: Path
    name: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def url(self) -> str:
        """The wheel's place as a file URL."""
        return self.path.as_uri()

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.path.read_bytes()

    @property
    def release_path(self) -> str:
        """Where the release tree and its mirrors have it."""
        return f"{self.name}-{self.version}/{self.path.name}"

    @property
    def pin(self) -> ModelPin:
        """Its pin, at its file URL."""
        return self.pin_at(self.url)

    def pin_at(self, url: str | None) -> ModelPin:
        """Return its pin, at a URL or, for None, wherever the settings say."""
        return ModelPin(self.name, self.version, self.sha256, url=url)


@dataclass(frozen=True, slots=True)
class Tampering:
    """What sets a wheel apart from an honest one; the default is no difference.

    Attributes:
        extra: Further members, listed in RECORD; one of an existing name replaces it.
        unlisted: Further members that RECORD does not list.
        listed_only: Paths that RECORD lists and the archive lacks.
        omitted: Members left out of the archive and of RECORD; naming RECORD itself leaves that out.
        links: Symbolic links, path to target, listed in RECORD.
        duplicates: Members written twice.
        wrong_hashes: Members whose hash in RECORD belongs to other bytes (the size is right).
        metadata_name: The Name in METADATA, if not the wheel's.
        metadata_version: The Version in METADATA, if not the wheel's.
        entry_points: The text of entry_points.txt, if not the `spacy_models` entry of official wheels.
        wheel_text: The text of WHEEL, if not that of a pure wheel.
    """

    extra: Mapping[str, bytes] = field(default_factory=dict)
    unlisted: Mapping[str, bytes] = field(default_factory=dict)
    listed_only: Sequence[str] = ()
    omitted: Collection[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    duplicates: Collection[str] = ()
    wrong_hashes: Collection[str] = ()
    metadata_name: str | None = None
    metadata_version: str | None = None
    entry_points: str | None = None
    wheel_text: str | None = None


HONEST = Tampering()


def build_wheel(  # noqa: PLR0913 - all keyword-only with defaults; a case names the one or two it is about
    folder: Path,
    *,
    name: str = NAME,
    version: str = VERSION,
    lang: str = "en",
    members: Mapping[str, bytes] | None = None,
    tampering: Tampering = HONEST,
) -> BuiltWheel:
    """Build a wheel of a pipeline that loads; equal arguments give equal bytes.

    Args:
        folder: Where to put it; made if missing.
        name: Distribution and package, `<lang>_<rest>`.
        version: Version of the distribution and of the pipeline.
        lang: spaCy's code of the pipeline's language.
        members: The package's files in place of `pipeline_members(...)`.
        tampering: What makes the wheel dishonest.

    Returns:
        The wheel and the facts a pin needs.
    """
    package = pipeline_members(name, version, lang=lang) if members is None else members
    content = {**package, **_dist_info(name, version, tampering), **tampering.extra}
    archive = _archive(content, f"{name}-{version}.dist-info/RECORD", tampering)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(archive)
    return BuiltWheel(path, name, version, hashlib.sha256(archive).hexdigest(), len(archive))


def pipeline_members(name: str, version: str, *, lang: str = "en") -> dict[str, bytes]:
    """Return the files of a real pipeline package with a sentencizer, by path relative to its parent folder.

    Args:
        name: The package, `<lang>_<rest>`.
        version: The pipeline's version.
        lang: spaCy's code of the pipeline's language.

    Returns:
        Posix paths with their bytes.
    """
    blank, data = _blank_pipeline(lang), f"{name}/{name}-{version}"
    facts = {"name": name.removeprefix(f"{lang}_"), "version": version, "spacy_version": SPACY_RANGE}
    meta = json.dumps(json.loads(blank["meta.json"]) | facts, indent=2).encode()
    members = {f"{data}/{path}": content for path, content in blank.items()}
    return members | {f"{name}/__init__.py": _INIT, f"{name}/meta.json": meta, f"{data}/meta.json": meta}


def small_wheel(
    folder: Path, version: str = VERSION, *, weight_bytes: int = 800, tampering: Tampering = HONEST
) -> BuiltWheel:
    """Build a wheel of `NAME` that installs but does not load; it is built at once, without spaCy.

    Args:
        folder: Where to put it; made if missing.
        version: Version of the distribution.
        weight_bytes: Size of the file that stands for the weights; it tells versions apart by size.
        tampering: What makes it dishonest.

    Returns:
        The wheel and the facts a pin needs.
    """
    members = small_members(version, weight_bytes=weight_bytes)
    return build_wheel(folder, version=version, members=members, tampering=tampering)


def small_members(version: str = VERSION, *, weight_bytes: int = 800) -> dict[str, bytes]:
    """Return the package's files in such a wheel; each spells the version, so that no two versions have equal files."""
    data = f"{NAME}/{NAME}-{version}"
    return {
        f"{NAME}/__init__.py": f"__version__ = {version!r}\n".encode(),
        f"{NAME}/meta.json": json.dumps({"lang": "en", "name": "tiny_sm", "version": version}).encode(),
        f"{data}/config.cfg": f"[nlp]\nlang = en\n# {version}\n".encode(),
        f"{data}/vocab/strings.json": json.dumps([version]).encode(),
        f"{data}/tagger/model": version.encode().ljust(weight_bytes, b"w"),
    }


def large_wheel(folder: Path, *, size_bytes: int = 1_000_000, seed: int = 0) -> BuiltWheel:
    """Build a small wheel that cannot be compressed; equal arguments give equal bytes.

    Args:
        folder: Where to put it; made if missing.
        size_bytes: Length of its largest member, vectors.bin.
        seed: What tells it from another of the same size.

    Returns:
        The wheel and the facts a pin needs.
    """
    vectors = random.Random(seed).randbytes(size_bytes)  # noqa: S311 - no secret
    return small_wheel(folder, tampering=Tampering(extra={f"{NAME}/vectors.bin": vectors}))


def unzipped(wheel: BuiltWheel, target: Path, installer: str = "pip") -> None:
    """Install a wheel as another program does.

    Args:
        wheel: The wheel.
        target: The folder of packages.
        installer: The program's name.
    """
    shutil.unpack_archive(wheel.path, target, "zip")
    dist_info = target / f"{wheel.name}-{wheel.version}.dist-info"
    (dist_info / "INSTALLER").write_text(f"{installer}\n", "utf-8")
    with (dist_info / "RECORD").open("a", encoding="utf-8") as record:
        record.write(f"{dist_info.name}/INSTALLER,,\n")


def altered(wheel: BuiltWheel, folder: Path) -> Path:
    """Copy a wheel under its own file name with exactly one byte changed, in the middle.

    Args:
        wheel: The wheel to copy.
        folder: Where the copy goes; made if missing.

    Returns:
        The copy.
    """
    content = bytearray(wheel.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / wheel.path.name
    copy.write_bytes(content)
    return copy


@functools.cache
def _blank_pipeline(lang: str) -> Mapping[str, bytes]:
    """Return the saved files of a blank pipeline with a sentencizer; built once per language."""
    import spacy

    nlp = spacy.blank(lang)
    nlp.add_pipe("sentencizer")
    with tempfile.TemporaryDirectory() as temp:
        nlp.to_disk(temp)
        paths = [path for path in Path(temp).rglob("*") if path.is_file()]
        return {path.relative_to(temp).as_posix(): path.read_bytes() for path in paths}


def _dist_info(name: str, version: str, tampering: Tampering) -> dict[str, bytes]:
    """Return the members that describe the distribution, but for RECORD."""
    texts = {
        "METADATA": _METADATA.format(tampering.metadata_name or name, tampering.metadata_version or version),
        "WHEEL": tampering.wheel_text or _WHEEL,
        "entry_points.txt": tampering.entry_points or f"[spacy_models]\n{name} = {name}\n",
        "top_level.txt": f"{name}\n",
    }
    return {f"{name}-{version}.dist-info/{file}": text.encode() for file, text in texts.items()}


def _archive(content: Mapping[str, bytes], record_path: str, tampering: Tampering) -> bytes:
    """Zip the members, the dist-info behind the package and RECORD last, as the wheel format recommends."""
    links = {path: target.encode() for path, target in tampering.links.items()}
    listed = {path: data for path, data in {**content, **links}.items() if path not in tampering.omitted}
    members = sorted({**listed, **tampering.unlisted}.items(), key=lambda member: (".dist-info/" in member[0], member))
    if record_path not in {*tampering.omitted, *dict(members)}:
        members.append((record_path, _record(listed, record_path, tampering)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members:
            for _ in range(2 if path in tampering.duplicates else 1):
                _write(archive, path, data, mode=_LINK_MODE if path in links else _FILE_MODE)
    return buffer.getvalue()


def _write(archive: zipfile.ZipFile, path: str, data: bytes, *, mode: int) -> None:
    """Write a member under exactly this path, with nothing that depends on the machine."""
    info = zipfile.ZipInfo(path, _EPOCH)
    # The constructor tidies a path up: it cuts it at a null and turns Windows' separators round.
    info.filename = path
    info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, _UNIX, mode << 16
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
        archive.writestr(info, data)


def _record(listed: Mapping[str, bytes], record_path: str, tampering: Tampering) -> bytes:
    """Write RECORD for the listed members and for those that are only claimed; a wrong hash is that of other bytes."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for path, data in sorted({**dict.fromkeys(tampering.listed_only, b""), **listed}.items()):
        digest = hashlib.sha256(b"other bytes" + data if path in tampering.wrong_hashes else data).digest()
        lines.writerow((path, "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("="), len(data)))
    lines.writerow((record_path, "", ""))
    return text.getvalue().encode()


@dataclass(frozen=True, slots=True)
class Breach:
    """One way to break the archive policy.

    Attributes:
        tampering: What sets the wheel apart from an honest one.
        issue: All that is said of it.
        version: The version the wheel is built as; the pin's is always `VERSION`.
    """

    tampering: Tampering
    issue: str
    version: str = VERSION


def _breach(issue: str, *, version: str = VERSION, **tampering: Any) -> Breach:  # noqa: ANN401 - fields of Tampering
    return Breach(Tampering(**tampering), issue, version)


def _extra(path: str, issue: str) -> Breach:
    return _breach(issue.format(path), extra={path: b"x"})


def _wheel(text: str) -> Breach:
    return _breach("WHEEL is not of a pure Python wheel, version 1", wheel_text=text)


def _script(group: str, name: str) -> Breach:
    text = f"[spacy_models]\n{NAME} = {NAME}\n[{group}]\n{name} = {NAME}:load\n"
    return _breach(f"script {name} in entry_points.txt ({group})", entry_points=text)


_DEEP = f"{NAME}/{'d/' * 1000}x"
_OUTSIDE = f"member {{}} outside {NAME}/ and {DIST_INFO}/"
_OF_INSTALLERS = "member {}, which only an installer may write"
BREACHES = {
    "parent": _extra("../x", "path '{}' leaves its folder"),
    "absolute": _extra("/x", "absolute or foreign path '{}'"),
    "link": _breach(f"link or special file {NAME}/x", links={f"{NAME}/x": "/etc/passwd"}),
    "pth": _extra("x.pth", "path configuration file {}"),
    "data": _extra(f"{NAME}-{VERSION}.data/data/x", "data member {}"),
    "console-script": _script("console_scripts", "Run-It"),
    "not-in-record": _breach(f"member {NAME}/x is not in RECORD", unlisted={f"{NAME}/x": b"x"}),
    "only-in-record": _breach(f"RECORD lists {NAME}/x, which is not there", listed_only=[f"{NAME}/x"]),
    "metadata-name": _breach(f"METADATA names en_other_sm, not {NAME}", metadata_name="en_other_sm"),
    "metadata-version": _breach("METADATA has version 1.0.1, not 1.0.0", metadata_version="1.0.1"),
    "parent-inside": _extra(f"{NAME}/../../x", "path '{}' leaves its folder"),
    "dot": _extra("./x", "path '{}' leaves its folder"),
    "thousand-folders": _extra(_DEEP, f"path of 1002 folders, more than 100: {_DEEP[:40]}…"),
    "thousands-of-digits": _breach(f"METADATA has version {'9' * 40}, not {VERSION}", metadata_version="9" * 5000),
    "empty-part": _extra(f"{NAME}//x", "path '{}' leaves its folder"),
    "backslash": _extra(f"{NAME}\\..\\x", f"absolute or foreign path '{NAME}\\\\..\\\\x'"),
    "drive": _extra("C:/x", "absolute or foreign path '{}'"),
    "pth-in-package": _extra(f"{NAME}/x.pth", "path configuration file {}"),
    "gui-script": _script("gui_scripts", "run"),
    "outside": _extra("other/x.py", _OUTSIDE),
    "top-level": _extra("sitecustomize.py", _OUTSIDE),
    "top-level-alike": _extra(f"{NAME}X", _OUTSIDE),
    "folder-outside": _breach(_OUTSIDE.format("other/"), unlisted={"other/": b""}),
    "duplicate": _breach(f"duplicate member {NAME}/meta.json", duplicates=[f"{NAME}/meta.json"]),
    "duplicate-case": _extra(f"{NAME}/META.json", f"duplicate member {NAME}/meta.json"),
    "compiled": _extra(f"{NAME}/__pycache__/x.pyc", "compiled member {}"),
    "installer": _extra(f"{DIST_INFO}/INSTALLER", _OF_INSTALLERS),
    "requested": _extra(f"{DIST_INFO}/REQUESTED", _OF_INSTALLERS),
    "direct-url": _extra(f"{DIST_INFO}/direct_url.json", _OF_INSTALLERS),
    "own-facts": _extra(f"{DIST_INFO}/modelboot.json", _OF_INSTALLERS),
    "no-init": _breach(f"no {NAME}/__init__.py", omitted=[f"{NAME}/__init__.py"]),
    "no-record": _breach(f"no {DIST_INFO}/RECORD", omitted=[f"{DIST_INFO}/RECORD"]),
    "no-metadata": _breach(f"no {DIST_INFO}/METADATA", omitted=[f"{DIST_INFO}/METADATA"]),
    "no-wheel": _breach(f"no {DIST_INFO}/WHEEL", omitted=[f"{DIST_INFO}/WHEEL"]),
    "dist-info-version": _breach(
        f"{NAME}-1.0.1.dist-info is not of {NAME} {VERSION}", version="1.0.1", metadata_version=VERSION
    ),
    "platlib": _wheel("Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"),
    "wheel-version": _wheel("Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"),
}
"""Every way in which names, kinds and descriptions of members can break the policy."""
