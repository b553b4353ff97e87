"""The wheels built for the tests are what they claim to be."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from installer.exceptions import InstallerError
from installer.sources import WheelFile

from support.wheels import BuiltWheel, Tampering, altered, build_wheel, pipeline_members

INFO = "en_tiny_sm-1.0.0.dist-info"
DATA = "en_tiny_sm/en_tiny_sm-1.0.0"
CHILD = """
import pathlib, sys
from support.wheels import build_wheel
sys.stdout.write(build_wheel(pathlib.Path(sys.argv[1])).sha256)
"""


def names(wheel: BuiltWheel) -> list[str]:
    """List a wheel's members in their order."""
    with zipfile.ZipFile(wheel.path) as archive:
        return archive.namelist()


def read(wheel: BuiltWheel, member: str) -> str:
    """Read a member as text."""
    with zipfile.ZipFile(wheel.path) as archive:
        return archive.read(member).decode()


def validate(wheel: BuiltWheel) -> None:
    """Let installer compare the members with RECORD."""
    with WheelFile.open(wheel.path) as source:
        source.validate_record()


def test_wheel_honest(tmp_path: Path) -> None:
    """An untampered wheel passes installer's validation and carries what official ones do."""
    wheel = build_wheel(tmp_path / "new")
    validate(wheel)
    assert wheel.path.name == "en_tiny_sm-1.0.0-py3-none-any.whl"
    assert names(wheel)[-1] == f"{INFO}/RECORD"
    assert read(wheel, f"{INFO}/entry_points.txt") == "[spacy_models]\nen_tiny_sm = en_tiny_sm\n"
    assert read(wheel, f"{INFO}/top_level.txt") == "en_tiny_sm\n"


def test_wheel_facts(tmp_path: Path) -> None:
    """A built wheel tells its own digest, size and URL."""
    wheel = build_wheel(tmp_path, name="fr_tiny_sm", version="2.1.0", lang="fr")
    content = wheel.path.read_bytes()
    assert (wheel.name, wheel.version, wheel.size_bytes) == ("fr_tiny_sm", "2.1.0", len(content))
    assert wheel.sha256 == hashlib.sha256(content).hexdigest()
    assert wheel.url == f"file://{wheel.path}"


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_wheel_unzipped_loads(tmp_path: Path, lang: str) -> None:
    """The data folder of an unzipped wheel loads under its own name and version."""
    from spacy.util import load_model_from_path

    wheel = build_wheel(tmp_path, name=f"{lang}_tiny_sm", version="1.2.3", lang=lang)
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(tmp_path)
    nlp = load_model_from_path(tmp_path / f"{lang}_tiny_sm" / f"{lang}_tiny_sm-1.2.3")
    assert (nlp.lang, nlp.meta["name"], nlp.meta["version"]) == (lang, "tiny_sm", "1.2.3")
    assert len(list(nlp("One. Two.").sents)) == 2


def test_wheel_package_loads(tmp_path: Path) -> None:
    """The package itself imports and loads in a bare process, as users do it."""
    wheel = build_wheel(tmp_path)
    code = "import en_tiny_sm; print(en_tiny_sm.__version__, en_tiny_sm.load().pipe_names)"
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "1.0.0 ['sentencizer']\n"


def test_wheel_deterministic(tmp_path: Path) -> None:
    """Equal arguments give equal bytes, and a marker other ones."""
    first, second = build_wheel(tmp_path / "a"), build_wheel(tmp_path / "b")
    assert first.path.read_bytes() == second.path.read_bytes()
    marked = build_wheel(tmp_path / "c", marker="other")
    assert marked.sha256 != first.sha256
    assert read(marked, f"{DATA}/marker.txt") == "other"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_wheel_deterministic_across_processes(tmp_path: Path, seed: str) -> None:
    """Another process, with other hashes of texts, builds the same bytes."""
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "child")]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert done.stdout == build_wheel(tmp_path).sha256


def test_name_of_another_language() -> None:
    """A name that spaCy could not match with the language is refused at once."""
    with pytest.raises(ValueError, match="starts with 'en_'"):
        pipeline_members("fr_tiny_sm", "1.0.0")


def test_members_replaced(tmp_path: Path) -> None:
    """Given members take the pipeline's place; the dist-info stays."""
    wheel = build_wheel(tmp_path, members={"en_tiny_sm/__init__.py": b""})
    validate(wheel)
    assert [name for name in names(wheel) if not name.startswith(INFO)] == ["en_tiny_sm/__init__.py"]


@pytest.mark.parametrize("path", ["../x", "/abs", "en_tiny_sm/../../x", "a\\b", "evil.pth", "bin/tool"])
def test_extra_verbatim(tmp_path: Path, path: str) -> None:
    """A hostile path goes into the archive and RECORD as it is."""
    wheel = build_wheel(tmp_path, tampering=Tampering(extra={path: b"!"}))
    assert path in names(wheel)
    assert f"\n{path},sha256=" in "\n" + read(wheel, f"{INFO}/RECORD")


def test_extra_replaces(tmp_path: Path) -> None:
    """An extra member of an existing name replaces it, in RECORD too."""
    wheel = build_wheel(tmp_path, tampering=Tampering(extra={f"{INFO}/METADATA": b"junk"}))
    validate(wheel)
    assert read(wheel, f"{INFO}/METADATA") == "junk"


@pytest.mark.parametrize(
    ("tampering", "complaint"),
    [
        (Tampering(unlisted={"en_tiny_sm/x.py": b""}), "x.py is not mentioned in RECORD"),
        (Tampering(wrong_hashes=[f"{DATA}/config.cfg"]), "config.cfg didn't match RECORD"),
        (Tampering(omitted=[f"{INFO}/RECORD"]), "Unable to retrieve `RECORD`"),
    ],
)
def test_record_tampered(tmp_path: Path, tampering: Tampering, complaint: str) -> None:
    """Tampering that installer looks for is found by it."""
    with pytest.raises(InstallerError, match=complaint):
        validate(build_wheel(tmp_path, tampering=tampering))


def test_listed_only(tmp_path: Path) -> None:
    """A path can be listed without being there."""
    wheel = build_wheel(tmp_path, tampering=Tampering(listed_only=["en_tiny_sm/gone.py"]))
    assert "\nen_tiny_sm/gone.py,sha256=" in read(wheel, f"{INFO}/RECORD")
    assert "en_tiny_sm/gone.py" not in names(wheel)


def test_omitted(tmp_path: Path) -> None:
    """An omitted member is neither there nor listed."""
    wheel = build_wheel(tmp_path, tampering=Tampering(omitted=[f"{INFO}/METADATA"]))
    assert f"{INFO}/METADATA" not in names(wheel)
    assert "METADATA" not in read(wheel, f"{INFO}/RECORD")


def test_duplicates(tmp_path: Path) -> None:
    """A duplicate is written twice, with no warning."""
    wheel = build_wheel(tmp_path, tampering=Tampering(duplicates=["en_tiny_sm/__init__.py", f"{INFO}/RECORD"]))
    assert names(wheel).count("en_tiny_sm/__init__.py") == 2
    assert names(wheel).count(f"{INFO}/RECORD") == 2


def test_links(tmp_path: Path) -> None:
    """A link is a symbolic link in the archive and listed."""
    wheel = build_wheel(tmp_path, tampering=Tampering(links={"en_tiny_sm/link": "/etc/passwd"}))
    validate(wheel)
    with zipfile.ZipFile(wheel.path) as archive:
        info = archive.getinfo("en_tiny_sm/link")
        assert stat.S_ISLNK(info.external_attr >> 16)
        assert archive.read(info) == b"/etc/passwd"


def test_dist_info_tampered(tmp_path: Path) -> None:
    """Name, version, entry points, WHEEL and the file's name can each be other than they should."""
    tampering = Tampering(
        metadata_name="other", metadata_version="9", entry_points="", wheel_text="W", filename="a.whl"
    )
    wheel = build_wheel(tmp_path, tampering=tampering)
    assert "\nName: other\nVersion: 9\n" in read(wheel, f"{INFO}/METADATA")
    assert [read(wheel, f"{INFO}/{file}") for file in ("entry_points.txt", "WHEEL")] == ["", "W"]
    assert wheel.path.name == "a.whl"


def test_altered_one_byte(tmp_path: Path) -> None:
    """An altered copy has the same name and size and exactly one other byte, in the middle."""
    wheel = build_wheel(tmp_path)
    copy = altered(wheel, tmp_path / "copy")
    pairs = zip(wheel.path.read_bytes(), copy.read_bytes(), strict=True)
    assert [place for place, (old, new) in enumerate(pairs) if old != new] == [wheel.size_bytes // 2]
    assert copy.name == wheel.path.name
