"""P1: only the pinned bytes are ever called the pinned wheel, whoever gave them and whoever checked them before."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

from modelboot import HashMismatchError, InstallError, ModelPin, OfflineError, ensure_model, get_nlp
from modelboot.cli import main
from support.folders import is_complete, leftovers, snapshot
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel, build_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

DATA = f"{NAME}/{NAME}-{VERSION}"


def with_digit_changed(sha256: str, position: int) -> str:
    """Return a digest that differs from another in one digit."""
    digits = [*sha256]
    digits[position] = "0" if digits[position] != "0" else "1"
    return "".join(digits)


@pytest.mark.parametrize("position", [0, 16, 63], ids=["first digit", "seventeenth", "last"])
@pytest.mark.parametrize("source", ["file", "server", "wheelhouse"])
def test_digest_that_differs_in_one_digit_is_refused(  # noqa: PLR0913, PLR0917 - most are fixtures
    source: str,
    position: int,
    wheel: BuiltWheel,
    target: Path,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All 64 digits count: a wheel whose digest is the pinned one but for a single digit is other bytes."""
    server.tree(wheel.path.parent)
    pinned = with_digit_changed(wheel.sha256, position)
    url = {"file": wheel.url, "server": f"{server.url}/{wheel.path.name}", "wheelhouse": f"{server.url}/none.whl"}
    if source == "wheelhouse":
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wheel.path.parent))
        shutil.copy(wheel.path, wheel.path.with_name("none.whl"))
    with pytest.raises(HashMismatchError, match=f"got sha256 {wheel.sha256}"):
        ensure_model(ModelPin(NAME, VERSION, pinned, url=url[source]))
    assert not target.exists()


@pytest.mark.parametrize("position", [0, 16, 63], ids=["first digit", "seventeenth", "last"])
def test_renamed_wheel_whose_digest_differs_in_one_digit_is_not_found(
    position: int, wheel: BuiltWheel, target: Path, tmp_path: Path
) -> None:
    """A wheel of another file name is found by its digest alone, and one digit that differs is not that digest."""
    house = tmp_path / "house"
    house.mkdir()
    shutil.copy(wheel.path, house / "renamed.whl")
    pin = ModelPin(NAME, VERSION, with_digit_changed(wheel.sha256, position))
    with pytest.raises(OfflineError, match="no wheel of that hash"):
        ensure_model(pin, wheelhouse=house, offline=True)
    assert not target.exists()
    assert ensure_model(wheel.pin_at(None), wheelhouse=house, offline=True).source == "wheelhouse"


CARELESS_PIP = """
import os, shutil, sys
shutil.copy(os.environ["CARELESS_WHEEL"], sys.argv[sys.argv.index("-d") + 1])
"""


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
@pytest.mark.parametrize("other", [True, False], ids=["other bytes", "the pinned bytes"])
def test_wheel_of_a_pip_that_checks_no_hash_is_hashed(  # noqa: PLR0913, PLR0917 - most are fixtures
    other: bool,  # noqa: FBT001 - a case
    wheel: BuiltWheel,
    target: Path,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pip says all is well whatever it fetched: modelboot hashes the wheel itself before it installs it."""
    (tmp_path / "careless" / "pip").mkdir(parents=True)
    (tmp_path / "careless" / "pip" / "__init__.py").touch()
    (tmp_path / "careless" / "pip" / "__main__.py").write_text(CARELESS_PIP, "utf-8")
    given = build_wheel(tmp_path / "other", members={f"{NAME}/__init__.py": b"# other\n"}) if other else wheel
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "careless"))
    monkeypatch.setenv("CARELESS_WHEEL", str(given.path))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)  # has nothing
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    pin = wheel.pin_at(None)
    if other:
        with pytest.raises(HashMismatchError, match=f"got sha256 {given.sha256}") as refused:
            ensure_model(pin)
        assert [attempt.source for attempt in refused.value.attempts if attempt.got_sha256] == ["index"]
        assert not target.exists()
    else:
        assert ensure_model(pin).source == "index"
        assert is_complete(target, pin)


SPECIAL = {
    "link": stat.S_IFLNK,
    "FIFO": stat.S_IFIFO,
    "character device": stat.S_IFCHR,
    "block device": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}


@pytest.mark.parametrize("kind", SPECIAL.values(), ids=SPECIAL)
def test_member_that_is_no_file_is_refused(kind: int, wheel: BuiltWheel, target: Path, tmp_path: Path) -> None:
    """A member marked as a link, a FIFO, a device or a socket is refused by name, and nothing is installed."""
    marked = tmp_path / wheel.path.name
    with zipfile.ZipFile(wheel.path) as honest, zipfile.ZipFile(marked, "w") as archive:
        for member in honest.infolist():
            data = honest.read(member)
            if member.filename == f"{NAME}/meta.json":
                member.external_attr = (kind | 0o644) << 16
            archive.writestr(member, data)
    sha256 = hashlib.sha256(marked.read_bytes()).hexdigest()
    with pytest.raises(InstallError, match=f"{NAME}/meta.json") as refused:
        ensure_model(ModelPin(NAME, VERSION, sha256, url=marked.as_uri()))
    assert refused.value.fault == "archive"
    assert not target.exists()


def installed_by_old_pip(wheel: BuiltWheel, target: Path, sha256: str) -> None:
    """Install as a pip did that knew only the first form of direct_url.json (PEP 610): one hash, no `hashes`."""
    shutil.unpack_archive(wheel.path, target, "zip")
    origin = {"url": wheel.url, "archive_info": {"hash": f"sha256={sha256}"}}
    (target / DIST_INFO / "direct_url.json").write_text(json.dumps(origin), "utf-8")
    (target / DIST_INFO / "INSTALLER").write_text("pip\n", "utf-8")
    with (target / DIST_INFO / "RECORD").open("a", encoding="utf-8") as record:
        record.write(f"{DIST_INFO}/direct_url.json,,\n{DIST_INFO}/INSTALLER,,\n")


def test_old_form_of_the_origin_proves_the_pinned_bytes(wheel: BuiltWheel, target: Path) -> None:
    """Where an older pip recorded the pinned hash in the old key, the model is there and nothing is written."""
    installed_by_old_pip(wheel, target, wheel.sha256)
    before = snapshot(target)
    assert ensure_model(wheel.pin).source == "present"
    assert snapshot(target) == before


def test_old_form_of_the_origin_tells_of_other_bytes(wheel: BuiltWheel, target: Path, tmp_path: Path) -> None:
    """Where it recorded another hash in the old key, that copy is not the pinned one: it stays, the store stands in."""
    installed_by_old_pip(wheel, target, "0" * 64)
    before = snapshot(target)
    result = ensure_model(wheel.pin)
    assert result.source == "release"
    assert result.path.is_relative_to(tmp_path / "home")
    assert snapshot(target) == before


def test_verify_names_every_missing_file(wheel: BuiltWheel, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several files that are gone each is named, not the first alone."""
    ensure_model(wheel.pin)
    gone = [f"{NAME}/meta.json", f"{DATA}/config.cfg", f"{DIST_INFO}/METADATA"]
    for path in gone:
        (target / path).unlink()
    capsys.readouterr()
    assert main(["verify", NAME]) == 1
    told = "".join(capsys.readouterr())
    assert [path for path in gone if path not in told] == []


def test_file_that_vanishes_while_loading_is_damage(
    tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file found by the look and gone when spaCy reads it is missing: the same call installs again and loads."""
    ensure_model(tiny_pin)
    config = target / tiny_pin.name / f"{tiny_pin.name}-{tiny_pin.version}" / "config.cfg"
    really, calls = spacy.load, []

    def load(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as spacy.load
        calls.append(arguments)
        if len(calls) == 1:
            os.unlink(config)
        return really(*arguments, **options)

    monkeypatch.setattr(spacy, "load", load)
    assert get_nlp(tiny_pin).meta["version"] == tiny_pin.version
    assert len(calls) == 2
    assert is_complete(target, tiny_pin)
    assert leftovers(target, tiny_pin) == []
