"""Errors at a terminal: nothing is printed twice, and the hint fits the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, altered

Capture = pytest.CaptureFixture[str]


def _told(arguments: list[str], capsys: Capture) -> tuple[list[str], str]:
    """Run a command that fails; return all it prints on stderr but the hint, and the hint."""
    assert main(arguments) == 1
    *lines, hint = capsys.readouterr().err.splitlines()
    return lines, hint.removeprefix("hint: ")


def test_other_bytes_are_told_once(tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """The hash of what was received is printed once, in the error."""
    wrong = altered(tiny, tmp_path / "wrong")
    lines, _ = _told(["install", f"en_tiny_sm @ {wrong.as_uri()}#sha256={tiny.sha256}"], capsys)
    assert [line.partition(":")[0] for line in lines if "got sha256" in line] == ["error"]


def test_other_bytes_of_two_sources_are_told_once_each(
    tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Of several sources each is told once, on a line of its own below the error."""
    wrong = altered(tiny, tmp_path / "wrong")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wrong.parent))
    lines, _ = _told(["install", f"en_tiny_sm @ {wrong.as_uri()}#sha256={tiny.sha256}"], capsys)
    told = [line for line in lines if "got sha256" in line]
    assert [line.split("(")[0] for line in told] == ["  wheelhouse ", "  release "]


def test_reasons_of_several_sources_are_told_once(
    tiny: BuiltWheel, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Why each source failed stands below the error and nowhere else, whoever was asked after it."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "absent"))
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    server.serve("/wheel.whl", Reply(404))
    lines, _ = _told(["install", f"en_tiny_sm @ {server.url}/wheel.whl#sha256={tiny.sha256}"], capsys)
    for reason in ("no such folder", "HTTP 404"):
        assert [line.split("(")[0] for line in lines if reason in line] in (["  wheelhouse "], ["  release "])


def test_reason_is_told_where_another_source_serves(
    tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A wheelhouse that does not have the wheel is told although the release had it."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "absent"))
    assert main(["install", f"en_tiny_sm @ {tiny.url}#sha256={tiny.sha256}"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "no such folder" in line]
    assert [line.partition(":")[0] for line in told] == ["info"]


def test_hint_of_a_refused_login(tiny: BuiltWheel, server: ModelServer, capsys: Capture) -> None:
    """What a server refuses to this user is not cured by a look at the network."""
    server.serve("/wheel.whl", Reply(403))
    _, hint = _told(["install", f"en_tiny_sm @ {server.url}/wheel.whl#sha256={tiny.sha256}"], capsys)
    assert hint.startswith("check the login or the token that was given")


def test_other_bytes_are_warned_of_once_when_another_source_serves(
    tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Where the next source serves, one warning tells of the one that gave other bytes."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(altered(tiny, tmp_path / "wrong").parent))
    assert main(["install", f"en_tiny_sm @ {tiny.url}#sha256={tiny.sha256}"]) == 0
    err = capsys.readouterr().err
    assert [line.partition(":")[0] for line in err.splitlines() if "got sha256" in line] == ["warning"]


def test_hint_of_a_mirror_without_the_wheel(
    tiny: BuiltWheel, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A mirror that answers 404 is not cured by setting MODELBOOT_BASE_URL, nor by a look at the network."""
    publish(monkeypatch, tmp_path / "tree", tiny)
    for mirror in (server.url, (tmp_path / "nothing").as_uri()):
        monkeypatch.setenv("MODELBOOT_BASE_URL", mirror)
        lines, hint = _told(["install", tiny.name], capsys)
        assert "mirror (" in lines[-1]
        assert hint == "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"


def test_hint_of_a_url_without_a_wheel(tiny: BuiltWheel, server: ModelServer, capsys: Capture) -> None:
    """A pin whose URL leads to nothing: the URL is to be checked."""
    _, hint = _told(["install", f"en_tiny_sm @ {server.url}/x.whl#sha256={tiny.sha256}"], capsys)
    assert hint == "check the URL of the pin, or set MODELBOOT_BASE_URL to a mirror that has the wheel"


@pytest.mark.parametrize("offline", ["0", "1"])
def test_hint_of_a_wheelhouse_that_is_not_there(
    offline: str, tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A folder that does not exist is named, with what to do about it, before all else."""
    publish(monkeypatch, tmp_path / "tree", tiny)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "typo"))
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    monkeypatch.setenv("MODELBOOT_OFFLINE", offline)
    lines, hint = _told(["install", tiny.name], capsys)
    assert any(f"wheelhouse ({tmp_path / 'typo'}): no such folder" in line for line in lines)
    assert hint.startswith(f"create {tmp_path / 'typo'} or fix MODELBOOT_WHEELHOUSE, or ")
    assert ("modelboot fetch" in hint, "check the network" in hint) == (offline == "1", offline == "0")


PLACES = {
    "no such file": ("nosuch.whl", "name the file of a wheel that is there and that you may read"),
    "a folder": ("./", "name the file of a wheel that is there and that you may read"),
    "no such page": ("SERVER/x.whl", "check the URL"),
    "no server": ("http://127.0.0.1:9/x.whl", "check the network and proxy (`modelboot doctor`)"),
}


@pytest.mark.parametrize(("place", "hint"), PLACES.values(), ids=PLACES)
def test_hint_of_pin(
    place: str, hint: str, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`modelboot pin` reads a place that was named: no setting of modelboot's is of help."""
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    assert _told(["pin", place.replace("SERVER", server.url)], capsys)[1] == hint
