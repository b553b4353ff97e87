"""Errors at a terminal: nothing is printed twice, and the hint fits the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import failure, reference, run
from support.server import ModelServer, Reply
from support.wheels import NAME, BuiltWheel, altered


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")


def telling(reason: str, url: str, wheel: BuiltWheel, **env: str) -> list[str]:
    """Install a wheel pinned at a URL; return how each line begins that gives a reason: with its level or source."""
    told = run("install", reference(wheel.pin_at(url)), **env).err.splitlines()
    return [line.replace(":", " (").split(" (")[0].strip() for line in told if reason in line]


def test_other_bytes_are_told_once(wheel: BuiltWheel, tmp_path: Path) -> None:
    """In the error, below it for each of several sources, or as one warning where the next source serves."""
    wrong = altered(wheel, tmp_path / "wrong")
    wheelhouse = str(wrong.parent)
    assert telling("got sha256", wrong.as_uri(), wheel) == ["error"]
    assert telling("got sha256", wrong.as_uri(), wheel, MODELBOOT_WHEELHOUSE=wheelhouse) == ["wheelhouse", "release"]
    assert telling("got sha256", wheel.url, wheel, MODELBOOT_WHEELHOUSE=wheelhouse) == ["warning"]


def test_reason_is_told_once(wheel: BuiltWheel, tmp_path: Path, server: ModelServer) -> None:
    """Why each source failed stands below the error and nowhere else, or in the log where another source serves."""
    absent = str(tmp_path / "absent")
    url = f"{server.url}/wheel.whl"
    assert telling("no such folder", url, wheel, MODELBOOT_WHEELHOUSE=absent) == ["wheelhouse"]
    assert telling("HTTP 404", url, wheel, MODELBOOT_WHEELHOUSE=absent) == ["release"]
    assert telling("no such folder", wheel.url, wheel, MODELBOOT_WHEELHOUSE=absent) == ["info"]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (403, "hint: check the login or the token that was given"),
        (404, "hint: check the URL of the pin, or set MODELBOOT_BASE_URL to a mirror that has the wheel"),
    ],
)
def test_hint_of_a_pin(status: int, hint: str, wheel: BuiltWheel, server: ModelServer) -> None:
    """What a server refuses or does not have is not cured by a look at the network."""
    assert failure("install", reference(server.publish(wheel, Reply(status))))[-1].startswith(hint)


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.usefixtures("file_mirror")
def test_hint_of_a_mirror_without_the_wheel(scheme: str, tmp_path: Path, server: ModelServer) -> None:
    """A mirror that does not have it is not cured by setting MODELBOOT_BASE_URL, nor by a look at the network."""
    base_url = server.url if scheme == "http" else (tmp_path / "nothing").as_uri()
    *_, reason, hint = failure("install", NAME, MODELBOOT_BASE_URL=base_url)
    assert "mirror (" in reason
    assert hint == "hint: put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"


@pytest.mark.parametrize(("offline", "remedy"), [("0", "check the network"), ("1", "modelboot fetch")])
@pytest.mark.usefixtures("file_mirror")
def test_hint_of_a_wheelhouse_that_is_not_there(offline: str, remedy: str, tmp_path: Path) -> None:
    """A folder that does not exist is named, with what to do about it, before all else."""
    typo = str(tmp_path / "typo")
    env = {"MODELBOOT_WHEELHOUSE": typo, "MODELBOOT_BASE_URL": "http://127.0.0.1:9", "MODELBOOT_OFFLINE": offline}
    *lines, hint = failure("install", NAME, **env)
    assert any(f"wheelhouse ({typo}): no such folder" in line for line in lines)
    assert hint.startswith(f"hint: create {typo} or fix MODELBOOT_WHEELHOUSE, or ")
    assert [each for each in ("check the network", "modelboot fetch") if each in hint] == [remedy]
