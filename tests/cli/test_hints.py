"""Errors at a terminal: nothing is printed twice, and the hint fits the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import NAME, BuiltWheel, altered

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")


def install(url: str, wheel: BuiltWheel, capsys: Capture, *, status: int = 1) -> list[str]:
    """Run `modelboot install` on a wheel pinned at a URL; return the lines on stderr, of which the last is the hint."""
    assert main(["install", f"{NAME} @ {url}#sha256={wheel.sha256}"]) == status
    return capsys.readouterr().err.splitlines()


def telling(lines: list[str], reason: str) -> list[str]:
    """Return how the lines begin that give a reason: with their level, or with the source."""
    return [line.replace(":", " (").split(" (")[0].strip() for line in lines if reason in line]


def test_other_bytes_are_told_once(
    wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In the error, below it for each of several sources, or as one warning where the next source serves."""
    wrong = altered(wheel, tmp_path / "wrong")
    assert telling(install(wrong.as_uri(), wheel, capsys), "got sha256") == ["error"]
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wrong.parent))
    assert telling(install(wrong.as_uri(), wheel, capsys), "got sha256") == ["wheelhouse", "release"]
    assert telling(install(wheel.url, wheel, capsys, status=0), "got sha256") == ["warning"]


def test_reason_is_told_once(
    wheel: BuiltWheel, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Why each source failed stands below the error and nowhere else, or in the log where another source serves."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "absent"))
    lines = install(f"{server.url}/wheel.whl", wheel, capsys)
    assert (telling(lines, "no such folder"), telling(lines, "HTTP 404")) == (["wheelhouse"], ["release"])
    assert telling(install(wheel.url, wheel, capsys, status=0), "no such folder") == ["info"]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (403, "hint: check the login or the token that was given"),
        (404, "hint: check the URL of the pin, or set MODELBOOT_BASE_URL to a mirror that has the wheel"),
    ],
)
def test_hint_of_a_pin(status: int, hint: str, wheel: BuiltWheel, server: ModelServer, capsys: Capture) -> None:
    """What a server refuses or does not have is not cured by a look at the network."""
    server.serve("/wheel.whl", Reply(status))
    assert install(f"{server.url}/wheel.whl", wheel, capsys)[-1].startswith(hint)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_hint_of_a_mirror_without_the_wheel(  # noqa: PLR0913, PLR0917 - fixtures
    scheme: str,
    wheel: BuiltWheel,
    tmp_path: Path,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    """A mirror that answers 404 is not cured by setting MODELBOOT_BASE_URL, nor by a look at the network."""
    publish(monkeypatch, tmp_path / "tree", wheel)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url if scheme == "http" else (tmp_path / "nothing").as_uri())
    assert main(["install", NAME]) == 1
    *_, reason, hint = capsys.readouterr().err.splitlines()
    assert "mirror (" in reason
    assert hint == "hint: put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"


@pytest.mark.parametrize("offline", ["0", "1"])
def test_hint_of_a_wheelhouse_that_is_not_there(
    offline: str, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A folder that does not exist is named, with what to do about it, before all else."""
    publish(monkeypatch, tmp_path / "tree", wheel)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "typo"))
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELBOOT_OFFLINE", offline)
    assert main(["install", NAME]) == 1
    *lines, hint = capsys.readouterr().err.splitlines()
    assert any(f"wheelhouse ({tmp_path / 'typo'}): no such folder" in line for line in lines)
    assert hint.startswith(f"hint: create {tmp_path / 'typo'} or fix MODELBOOT_WHEELHOUSE, or ")
    assert ("modelboot fetch" in hint, "check the network" in hint) == (offline == "1", offline == "0")
