"""Wheels built on the spot: of tiny pipelines that load, of files that only install, and those the policy refuses."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import random
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A tiny pipeline for tests\n"
_FILE_MODE = 0o100644
_LINK_MODE = 0o120777
_UNIX = 3
_EPOCH = (2020, 1, 1, 0, 0, 0)


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
        filename: The file's name, if not `<name>-<version>-py3-none-any.whl`.
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
    filename: str | None = None


HONEST = Tampering()


def build_wheel(  # noqa: PLR0913 - all keyword-only with defaults; a case names the one or two it is about
    folder: Path,
    *,
    name: str = NAME,
    version: str = VERSION,
    lang: str = "en",
    marker: str = "",
    members: Mapping[str, bytes] | None = None,
    tampering: Tampering = HONEST,
) -> BuiltWheel:
    """Build a wheel of a pipeline that loads; equal arguments give equal bytes, in any process.

    Args:
        folder: Where to put it; made if missing.
        name: Distribution and package, `<lang>_<rest>`.
        version: Version of the distribution and of the pipeline.
        lang: spaCy's code of the pipeline's language.
        marker: Text that tells this build from another of the same name and version.
        members: The package's files in place of `pipeline_members(...)`.
        tampering: What makes the wheel dishonest.

    Returns:
        The wheel and the facts a pin needs.
    """
    package = pipeline_members(name, version, lang=lang, marker=marker) if members is None else members
    content = {**package, **_dist_info(name, version, tampering), **tampering.extra}
    path = folder / (tampering.filename or f"{name}-{version}-py3-none-any.whl")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_archive(content, f"{name}-{version}.dist-info/RECORD", tampering))
    return _built(path, name, version)


def pipeline_members(name: str, version: str, *, lang: str = "en", marker: str = "") -> dict[str, bytes]:
    """Return the files of a real pipeline package with a sentencizer, by path relative to its parent folder.

    Args:
        name: The package, `<lang>_<rest>`.
        version: The pipeline's version.
        lang: spaCy's code of the pipeline's language.
        marker: Text for a `marker.txt` beside the pipeline's data; none when empty.

    Returns:
        Posix paths with their bytes.

    Raises:
        ValueError: The name does not start with the language, so spaCy could not find the data.
    """
    if not name.startswith(f"{lang}_"):
        msg = f"the name of a pipeline of language {lang!r} starts with '{lang}_', got {name!r}"
        raise ValueError(msg)
    blank, data = _blank_pipeline(lang), f"{name}/{name}-{version}"
    meta = _meta(blank["meta.json"], name=name.removeprefix(f"{lang}_"), version=version)
    members = {f"{data}/{path}": content for path, content in blank.items()}
    members |= {f"{name}/__init__.py": _INIT, f"{name}/meta.json": meta, f"{data}/meta.json": meta}
    return members | ({f"{data}/marker.txt": marker.encode()} if marker else {})


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
        files = {path.relative_to(temp).as_posix(): path.read_bytes() for path in _files(Path(temp))}
    return files | {"sentencizer.json": _sorted_characters(files["sentencizer.json"])}


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def _sorted_characters(sentencizer: bytes) -> bytes:
    """Order the sentencizer's characters, which spaCy writes in the order of a set, new in each process."""
    settings = json.loads(sentencizer)
    settings["punct_chars"].sort()
    return json.dumps(settings).encode()


def _meta(blank: bytes, *, name: str, version: str) -> bytes:
    """Return a blank pipeline's meta.json with a name and a version."""
    meta = json.loads(blank) | {"name": name, "version": version, "spacy_version": SPACY_RANGE}
    return json.dumps(meta, indent=2).encode()


def _dist_info(name: str, version: str, tampering: Tampering) -> dict[str, bytes]:
    """Return the members that describe the distribution, but for RECORD."""
    entry_points, wheel_text = tampering.entry_points, tampering.wheel_text
    texts = {
        "METADATA": _METADATA.format(
            name=name if tampering.metadata_name is None else tampering.metadata_name,
            version=version if tampering.metadata_version is None else tampering.metadata_version,
        ),
        "WHEEL": _WHEEL if wheel_text is None else wheel_text,
        "entry_points.txt": f"[spacy_models]\n{name} = {name}\n" if entry_points is None else entry_points,
        "top_level.txt": f"{name}\n",
    }
    return {f"{name}-{version}.dist-info/{file}": text.encode() for file, text in texts.items()}


def _archive(content: Mapping[str, bytes], record_path: str, tampering: Tampering) -> bytes:
    """Zip the members, RECORD last as installers expect."""
    links = {path: target.encode() for path, target in tampering.links.items()}
    listed = {path: data for path, data in {**content, **links}.items() if path not in tampering.omitted}
    members = sorted({**listed, **tampering.unlisted}.items(), key=lambda member: _place(member[0]))
    if record_path not in {*tampering.omitted, *dict(members)}:
        members.append((record_path, _record(listed, record_path, tampering)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in _with_duplicates(members, tampering.duplicates):
            _write(archive, path, data, mode=_LINK_MODE if path in links else _FILE_MODE)
    return buffer.getvalue()


def _place(path: str) -> tuple[bool, str]:
    """Sort the dist-info behind the package, as the wheel format recommends."""
    return (".dist-info/" in path, path)


def _with_duplicates(members: Sequence[tuple[str, bytes]], duplicates: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the members, those named as duplicates twice."""
    for path, data in members:
        yield path, data
        if path in duplicates:
            yield path, data


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
    """Write RECORD for the listed members and for those that are only claimed."""
    claimed = {**dict.fromkeys(tampering.listed_only, b""), **listed}
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for path, data in sorted(claimed.items()):
        lines.writerow((path, _record_hash(data, wrong=path in tampering.wrong_hashes), len(data)))
    lines.writerow((record_path, "", ""))
    return text.getvalue().encode()


def _record_hash(data: bytes, *, wrong: bool) -> str:
    """Format a digest as RECORD does; a wrong one is that of other bytes."""
    digest = hashlib.sha256(b"other bytes" + data if wrong else data).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _built(path: Path, name: str, version: str) -> BuiltWheel:
    """Return the facts of a wheel that was just written."""
    content = path.read_bytes()
    return BuiltWheel(path, name, version, hashlib.sha256(content).hexdigest(), len(content))


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


_ENTRY_POINTS = f"[spacy_models]\n{NAME} = {NAME}\n"


def _extra(path: str, issue: str) -> Breach:
    return Breach(Tampering(extra={path: b"x"}), issue)


_DEEP = f"{NAME}/{'d/' * 1000}x"
BREACHES_TO_NAME = {
    "parent": _extra("../x", "path '../x' leaves its folder"),
    "absolute": _extra("/x", "absolute or foreign path '/x'"),
    "link": Breach(Tampering(links={f"{NAME}/x": "/etc/passwd"}), f"link or special file {NAME}/x"),
    "pth": _extra("x.pth", "path configuration file x.pth"),
    "data": _extra(f"{NAME}-{VERSION}.data/data/x", f"data member {NAME}-{VERSION}.data/data/x"),
    "console-script": Breach(
        Tampering(entry_points=f"{_ENTRY_POINTS}[console_scripts]\nRun-It = {NAME}:load\n"),
        "script Run-It in entry_points.txt (console_scripts)",
    ),
    "not-in-record": Breach(Tampering(unlisted={f"{NAME}/x": b"x"}), f"member {NAME}/x is not in RECORD"),
    "only-in-record": Breach(Tampering(listed_only=[f"{NAME}/x"]), f"RECORD lists {NAME}/x, which is not there"),
    "metadata-name": Breach(Tampering(metadata_name="en_other_sm"), f"METADATA names en_other_sm, not {NAME}"),
    "metadata-version": Breach(Tampering(metadata_version="1.0.1"), "METADATA has version 1.0.1, not 1.0.0"),
}
"""Breaches that are each refused with a message of its own before anything is written."""

BREACHES = BREACHES_TO_NAME | {
    "parent-inside": _extra(f"{NAME}/../../x", f"path '{NAME}/../../x' leaves its folder"),
    "dot": _extra("./x", "path './x' leaves its folder"),
    "thousand-folders": _extra(_DEEP, f"path of 1002 folders, more than 100: {_DEEP[:40]}…"),
    "thousands-of-digits": Breach(
        Tampering(metadata_version="9" * 5000), f"METADATA has version {'9' * 40}, not {VERSION}"
    ),
    "empty-part": _extra(f"{NAME}//x", f"path '{NAME}//x' leaves its folder"),
    "backslash": _extra(f"{NAME}\\..\\x", f"absolute or foreign path '{NAME}\\\\..\\\\x'"),
    "drive": _extra("C:/x", "absolute or foreign path 'C:/x'"),
    "pth-in-package": _extra(f"{NAME}/x.pth", f"path configuration file {NAME}/x.pth"),
    "gui-script": Breach(
        Tampering(entry_points=f"{_ENTRY_POINTS}[gui_scripts]\nrun = {NAME}:load\n"),
        "script run in entry_points.txt (gui_scripts)",
    ),
    "outside": _extra("other/x.py", f"member other/x.py outside {NAME}/ and {DIST_INFO}/"),
    "top-level": _extra("sitecustomize.py", f"member sitecustomize.py outside {NAME}/ and {DIST_INFO}/"),
    "folder-outside": Breach(
        Tampering(unlisted={"other/": b""}),
        f"member other/ outside {NAME}/ and {DIST_INFO}/",
    ),
    "duplicate": Breach(Tampering(duplicates=[f"{NAME}/meta.json"]), f"duplicate member {NAME}/meta.json"),
    "duplicate-case": _extra(f"{NAME}/META.json", f"duplicate member {NAME}/meta.json"),
    "compiled": _extra(f"{NAME}/__pycache__/x.pyc", f"compiled member {NAME}/__pycache__/x.pyc"),
    "installer": _extra(f"{DIST_INFO}/INSTALLER", f"member {DIST_INFO}/INSTALLER, which only an installer may write"),
    "requested": _extra(f"{DIST_INFO}/REQUESTED", f"member {DIST_INFO}/REQUESTED, which only an installer may write"),
    "direct-url": _extra(
        f"{DIST_INFO}/direct_url.json", f"member {DIST_INFO}/direct_url.json, which only an installer may write"
    ),
    "no-init": Breach(Tampering(omitted=[f"{NAME}/__init__.py"]), f"no {NAME}/__init__.py"),
    "no-record": Breach(Tampering(omitted=[f"{DIST_INFO}/RECORD"]), f"no {DIST_INFO}/RECORD"),
    "no-metadata": Breach(Tampering(omitted=[f"{DIST_INFO}/METADATA"]), f"no {DIST_INFO}/METADATA"),
    "no-wheel": Breach(Tampering(omitted=[f"{DIST_INFO}/WHEEL"]), f"no {DIST_INFO}/WHEEL"),
    "dist-info-version": Breach(
        Tampering(metadata_version=VERSION), f"{NAME}-1.0.1.dist-info is not of {NAME} {VERSION}", "1.0.1"
    ),
    "platlib": Breach(
        Tampering(wheel_text="Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"),
        "WHEEL is not of a pure Python wheel, version 1",
    ),
    "wheel-version": Breach(
        Tampering(wheel_text="Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"),
        "WHEEL is not of a pure Python wheel, version 1",
    ),
}
"""Every way in which names, kinds and descriptions of members can break the policy."""
