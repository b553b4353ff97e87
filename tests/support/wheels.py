"""Wheels of tiny but real spaCy pipelines, built on the spot, honest or tampered with."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
    name: str = "en_tiny_sm",
    version: str = "1.0.0",
    lang: str = "en",
    marker: str = "",
    members: Mapping[str, bytes] | None = None,
    tampering: Tampering = HONEST,
) -> BuiltWheel:
    """Build a wheel; equal arguments give equal bytes, in any process.

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
    """Give the files of a real pipeline package with a sentencizer, by path relative to its parent folder.

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
    """Give the saved files of a blank pipeline with a sentencizer; built once a language."""
    import spacy

    nlp = spacy.blank(lang)
    nlp.add_pipe("sentencizer")
    with tempfile.TemporaryDirectory() as temp:
        nlp.to_disk(temp)
        files = {path.relative_to(temp).as_posix(): path.read_bytes() for path in _files(Path(temp))}
    return files | {"sentencizer.json": _sorted_characters(files["sentencizer.json"])}


def _files(folder: Path) -> Iterator[Path]:
    """Walk the regular files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def _sorted_characters(sentencizer: bytes) -> bytes:
    """Order the sentencizer's characters, which spaCy writes in the order of a set, new in each process."""
    settings = json.loads(sentencizer)
    settings["punct_chars"].sort()
    return json.dumps(settings).encode()


def _meta(blank: bytes, *, name: str, version: str) -> bytes:
    """Give a blank pipeline's meta a name and a version."""
    meta = json.loads(blank) | {"name": name, "version": version, "spacy_version": SPACY_RANGE}
    return json.dumps(meta, indent=2).encode()


def _dist_info(name: str, version: str, tampering: Tampering) -> dict[str, bytes]:
    """Give the members that describe the distribution, but for RECORD."""
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
    """Walk the members, those named as duplicates twice."""
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
    """Word a digest as RECORD does; a wrong one is that of other bytes."""
    digest = hashlib.sha256(b"other bytes" + data if wrong else data).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _built(path: Path, name: str, version: str) -> BuiltWheel:
    """Take the facts of a wheel just written."""
    content = path.read_bytes()
    return BuiltWheel(path, name, version, hashlib.sha256(content).hexdigest(), len(content))
