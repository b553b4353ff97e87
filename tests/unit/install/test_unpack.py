"""A verified wheel becomes a complete package and dist-info, or nothing that could be taken for one."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._sources import fetch
from modelboot.errors import InstallError
from support.commands import output
from support.folders import is_complete, leftovers
from support.server import ModelServer, Reply
from support.sources import publish_to_index, use_index_at
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel, Tampering, small_wheel

resource = pytest.importorskip("resource", reason="needs a limit on the size of files")

RECORD = f"{DIST_INFO}/RECORD"
OWN = {"INSTALLER": b"modelboot\n", "REQUESTED": b""}
CONFIG = f"{NAME}/{NAME}-{VERSION}/config.cfg"


def files(target: Path) -> dict[str, bytes]:
    """Read every file of the model in a target."""
    paths = [path for top in (NAME, DIST_INFO) for path in (target / top).rglob("*") if path.is_file()]
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}


def test_members_and_what_an_installer_adds(wheel: BuiltWheel, target: Path) -> None:
    """The members are there, who installed it and that it was asked for, and nothing else.

    RECORD and the files agree both ways, each file once with its digest and size, RECORD itself with none.
    """
    ensure_model(wheel.pin)
    with zipfile.ZipFile(wheel.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != RECORD}
    found = files(target)
    rows = [*csv.reader(found.pop(RECORD).decode().splitlines())]
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode() for path, data in found.items()}
    expected = [[path, f"sha256={digests[path].rstrip('=')}", str(len(data))] for path, data in found.items()]
    assert sorted(rows) == sorted([*expected, [RECORD, "", ""]])
    origin = json.loads(found.pop(f"{DIST_INFO}/direct_url.json"))
    assert found == members | {f"{DIST_INFO}/{name}": content for name, content in OWN.items()}
    assert origin == {
        "archive_info": {"hash": f"sha256={wheel.sha256}", "hashes": {"sha256": wheel.sha256}},  # both forms of PEP 610
        "url": wheel.url,
    }
    assert leftovers(target, wheel.pin) == []


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        (None, f"https://github.com/explosion/spacy-models/releases/download/{NAME}-{VERSION}/{{file}}"),
        ("https://user:secret@example.org/x/en.whl?token=secret#secret", "https://example.org/x/en.whl"),
    ],
    ids=["official", "credentials"],
)
def test_origin_is_the_pin_s(wheel: BuiltWheel, target: Path, url: str | None, recorded: str) -> None:
    """The URL is the pin's, whichever source gave the wheel; user, password and token are not written to disk."""
    ensure_model(wheel.pin_at(url), wheelhouse=wheel.path.parent)
    origin = json.loads((target / DIST_INFO / "direct_url.json").read_bytes())
    assert origin["url"] == recorded.format(file=wheel.path.name)
    assert not [path for path, data in files(target).items() if b"secret" in data]


def test_origin_when_an_index_gave_the_wheel(
    wheel: BuiltWheel, mirror: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No direct URL is on record, as for pip: the hash stands in a file of modelboot's own, and proves as much."""
    mirror.serve(f"/{wheel.release_path}", Reply(404))
    publish_to_index(mirror, wheel.path)
    use_index_at(mirror.url, monkeypatch)
    monkeypatch.setenv("MODELBOOT_REQUIRE_HASH", "1")
    models = [ensure_model(wheel.pin_at(None)) for _ in range(2)]
    assert [(model.source, model.verified) for model in models] == [("index", True), ("present", True)]
    found = {path.removeprefix(f"{DIST_INFO}/"): content for path, content in files(target).items()}
    assert "direct_url.json" not in found
    assert json.loads(found["modelboot.json"])["archive_info"]["hashes"] == {"sha256": wheel.sha256}
    assert is_complete(target, wheel.pin)
    assert "intact" in output("verify")


@pytest.mark.parametrize("path", [f"{NAME}/__init__.py", CONFIG, f"{DIST_INFO}/METADATA", f"{DIST_INFO}/top_level.txt"])
def test_member_of_other_bytes(tmp_path: Path, target: Path, path: str) -> None:
    """A member whose bytes are not those RECORD names is refused by name."""
    pin = small_wheel(tmp_path, tampering=Tampering(wrong_hashes=[path])).pin
    with pytest.raises(InstallError, match="does not match its hash") as refused:
        ensure_model(pin)
    error = refused.value
    assert (error.fault, error.path, error.model) == ("archive", pin.filename, str(pin))
    assert error.reason == f"{path} does not match its hash in RECORD"
    assert leftovers(target) == []


@pytest.mark.parametrize("damage", [b"\xff" * 12, b"\0" * 12], ids=["not-deflated", "other-bytes"])
def test_damaged_member(wheel: BuiltWheel, target: Path, damage: bytes) -> None:
    """A member that does not unpack is the archive's fault, even where its bytes are the pinned ones."""
    start = wheel.content.index(CONFIG.encode()) + len(CONFIG)
    content = wheel.content[:start] + damage + wheel.content[start + len(damage) :]
    wheel.path.write_bytes(content)
    with pytest.raises(InstallError, match=r"decompressing|CRC") as refused:
        ensure_model(ModelPin(NAME, VERSION, hashlib.sha256(content).hexdigest(), url=wheel.url))
    assert refused.value.fault == "archive"
    assert leftovers(target) == []


def test_another_file_in_the_place_of_the_archive(
    wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed is what is unpacked: another file that takes its name meanwhile is refused, whatever it holds."""

    def fetch_and_swap(*arguments: Any, **options: Any) -> fetch.FetchedWheel:  # noqa: ANN401 - as fetch_wheel
        fetched = really(*arguments, **options)
        Path(shutil.copy(fetched.path, fetched.path.with_name("other"))).replace(fetched.path)
        return fetched

    really = fetch.fetch_wheel
    monkeypatch.setattr(fetch, "fetch_wheel", fetch_and_swap)
    with pytest.raises(InstallError, match="another file has taken its place"):
        ensure_model(wheel.pin)
    assert leftovers(target) == []


def test_too_little_disk_space(wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is visibly too little disk space nothing is written, and both figures are told."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, used=999, free=1))
    with pytest.raises(InstallError, match=r"needs 1,\d\d\d bytes, 1 are free") as refused:
        ensure_model(wheel.pin)
    assert (refused.value.fault, refused.value.model) == ("space", str(wheel.pin))
    assert Path(refused.value.path).is_relative_to(target)
    assert leftovers(target) == []


def test_disk_refuses_a_write(tmp_path: Path, target: Path) -> None:
    """What the system says of a write that it cannot make is told as it is."""
    pin = small_wheel(tmp_path, tampering=Tampering(extra={f"{NAME}/zeros": bytes(99_999)})).pin
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(InstallError, match="File too large"):
            ensure_model(pin)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert leftovers(target) == []


@pytest.mark.parametrize(
    ("pinned", "inside"), [("1.0.0", "1.0"), ("1.0.0-beta", "1.0.0b0"), ("1.0.0-1", "1.0.0.post1")]
)
def test_version_spelled_otherwise(tmp_path: Path, target: Path, pinned: str, inside: str) -> None:
    """A pin may spell the version otherwise than the wheel does; it is found again."""
    wheel = small_wheel(tmp_path, inside)
    pin = ModelPin(NAME, pinned, wheel.sha256, url=wheel.url)
    assert [ensure_model(pin).source for _ in range(2)] == ["release", "present"]
    assert (target / f"{NAME}-{inside}.dist-info").is_dir()
