"""What must be refused is refused, says why, and leaves the target exactly as it was."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import installer
import pytest

from modelboot import HashMismatchError, InstallError, ensure_model
from modelboot.cli import main
from support.folders import snapshot
from support.sources import point_pip_at, publish_to_index
from support.wheels import (
    BREACHES_TO_NAME,
    NAME,
    VERSION,
    Breach,
    Tampering,
    altered,
    build_wheel,
    small_wheel,
)

if TYPE_CHECKING:
    from support.server import ModelServer

REAL_PIP = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
SOURCES = ["wheelhouse", "release", pytest.param("index", marks=REAL_PIP)]


def _absent(target: Path) -> None:
    assert not target.exists()


def _empty(target: Path) -> None:
    target.mkdir()


def _strangers(target: Path) -> None:
    """Put a package of somebody else's there."""
    for path in (target / "other" / "__init__.py", target / "other-1.0.dist-info" / "RECORD"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x = 1\n")


def _older(target: Path) -> None:
    """Install an older version of the same model, which a good wheel would replace."""
    wheel = small_wheel(target.with_name("older"), "0.9")
    ensure_model(wheel.pin, target=target)


def _neighbour(target: Path) -> None:
    """Install another model, so that there is a `.modelboot` already."""
    members = {"en_other_sm/__init__.py": b""}
    wheel = build_wheel(target.with_name("neighbour"), name="en_other_sm", members=members)
    ensure_model(wheel.pin, target=target)


TARGETS = [_absent, _empty, _strangers, _older, _neighbour]
IDS = ["absent", "empty", "other-package", "older-version", "other-model"]


@pytest.fixture(params=TARGETS, ids=IDS)
def filled(request: pytest.FixtureRequest, target: Path) -> Path:
    """Return the target in one of the states it may be in before."""
    fill: Callable[[Path], None] = request.param
    fill(target)
    return target


def give(source: str, path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one source give a file under the pinned name, and all others nothing."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    if source == "wheelhouse":
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(path.parent))
    elif source == "release":
        release = path.parent / path.name.removesuffix("-py3-none-any.whl")
        release.mkdir()
        (release / path.name).write_bytes(path.read_bytes())
        server.tree(path.parent)
    else:
        monkeypatch.setenv("MODELBOOT_INDEX", "1")
        point_pip_at(server.url, monkeypatch)
        publish_to_index(server, path)


def digest(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("source", ["wheelhouse", "release"])
def test_ensure_model_altered_wheel(
    source: str, filled: Path, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One altered byte is refused with both digests, whatever the target held, and the target stays as it was."""
    assert_altered_wheel_refused(source, filled, server, tmp_path, monkeypatch)


@REAL_PIP
def test_ensure_model_altered_wheel_from_index(
    target: Path, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One altered byte is refused with both digests when the index gave it, too."""
    assert_altered_wheel_refused("index", target, server, tmp_path, monkeypatch)


def assert_altered_wheel_refused(
    source: str, target: Path, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ask for a wheel of which a source has an altered copy."""
    wheel = small_wheel(tmp_path / "honest")
    wrong = altered(wheel, tmp_path / "wrong")
    give(source, wrong, server, monkeypatch)
    before = snapshot(target, without=())
    with pytest.raises(HashMismatchError, match=f"expected sha256 {wheel.sha256}") as refused:
        ensure_model(wheel.pin_at(None), target=target)
    assert digest(wrong) in refused.value.message
    (attempt,) = [attempt for attempt in refused.value.attempts if attempt.got_sha256]
    assert attempt.source == {"release": "mirror"}.get(source, source)
    assert attempt.got_sha256 == digest(wrong)
    assert snapshot(target, without=()) == before


@pytest.mark.parametrize("source", SOURCES)
def test_command_line_altered_wheel(  # noqa: PLR0913, PLR0917 - fixtures
    source: str,
    target: Path,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command ends with status 1 and names both digests; the target is not even made."""
    expected = "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"  # the catalog's en_core_web_sm 3.8.0
    wrong = build_wheel(
        tmp_path / "wrong", name="en_core_web_sm", version="3.8.0", members={"en_core_web_sm/__init__.py": b""}
    )
    give(source, wrong.path, server, monkeypatch)
    assert main(["install", "en_core_web_sm==3.8.0"]) == 1
    out, err = capsys.readouterr()
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == ""
    assert f"expected sha256 {expected}" in error
    assert f"got sha256 {wrong.sha256}" in err
    assert err.splitlines()[-1].startswith("hint: do not use that file")
    assert not target.exists()


@pytest.mark.parametrize("case", BREACHES_TO_NAME.values(), ids=BREACHES_TO_NAME.keys())
def test_ensure_model_hostile_wheel(
    case: Breach, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hostile wheel is refused with its own message before a member of it is written anywhere."""
    wheel = small_wheel(tmp_path / "hostile", tampering=case.tampering)
    before, outside = snapshot(filled, without=()), snapshot(tmp_path / "hostile", without=())

    def forbidden(*_: object) -> None:
        pytest.fail("a member is about to be written")

    monkeypatch.setattr(installer, "install", forbidden)
    with pytest.raises(InstallError, match=r"could not install en_tiny_sm 1\.0\.0") as refused:
        ensure_model(wheel.pin, target=filled)
    assert (refused.value.fault, refused.value.reason) == ("archive", case.issue)
    assert refused.value.message == f"could not install {NAME} {VERSION}: {wheel.path.name}: {case.issue}"
    assert snapshot(filled, without=()) == before
    assert snapshot(tmp_path / "hostile", without=()) == outside


def test_ensure_model_member_of_other_bytes(filled: Path, tmp_path: Path) -> None:
    """What only shows while members are written leaves the target as it was, too."""
    tampering = Tampering(wrong_hashes=[f"{NAME}/meta.json"])
    wheel = small_wheel(tmp_path / "hostile", tampering=tampering)
    before = snapshot(filled, without=())
    with pytest.raises(InstallError, match=r"meta\.json does not match its hash in RECORD"):
        ensure_model(wheel.pin, target=filled)
    assert snapshot(filled, without=()) == before


def test_ensure_model_honest_wheel(filled: Path, tmp_path: Path) -> None:
    """The same wheel without the tampering is installed: it is the tampering that was refused."""
    wheel = small_wheel(tmp_path / "honest")
    assert ensure_model(wheel.pin, target=filled).version == VERSION
    assert (filled / f"{NAME}-{VERSION}.dist-info" / "RECORD").is_file()
