"""What servers, proxies, pip and file names say reaches people as text: no terminal obeys it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import NAME, VERSION, BuiltWheel

if TYPE_CHECKING:
    Saying: TypeAlias = "Callable[[ModelServer, Path, pytest.MonkeyPatch], None]"

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
"""Sets a title and clears the screen; the last one is a C1 control, which some terminals obey as well."""
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m"
PLACE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"


def by_reason(server: ModelServer, _: Path, __: pytest.MonkeyPatch) -> None:
    """Say it in the status line."""
    server.serve(PLACE, Reply(404, reason=f"Not{ESCAPE}Found"))


def by_content_type(server: ModelServer, _: Path, __: pytest.MonkeyPatch) -> None:
    """Say it as the type of a page."""
    server.serve(PLACE, Reply(headers={"Content-Type": f"text/html;{ESCAPE}"}, body=b"<html>"))


def by_location(server: ModelServer, _: Path, __: pytest.MonkeyPatch) -> None:
    """Say it in a redirect."""
    server.serve(PLACE, Reply(302, {"Location": f"ftp://x/{ESCAPE}"}))


def by_followed_location(server: ModelServer, _: Path, __: pytest.MonkeyPatch) -> None:
    """Say it in a redirect that is followed."""
    server.serve(PLACE, Reply(302, {"Location": f"{server.url}/{ESCAPE}"}))


def by_proxy(server: ModelServer, _: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say it in a proxy's answer to CONNECT."""
    monkeypatch.setenv("https_proxy", server.url)
    monkeypatch.setenv("MODELBOOT_BASE_URL", "https://mirror.invalid")
    server.serve("mirror.invalid:443", Reply(407, reason=f"No{ESCAPE}"))


def by_pip(_: ModelServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say it in what pip prints."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\nprintf '%s' 'ERROR: it{ESCAPE}broke'; exit 1\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("MODELBOOT_INDEX", "1")


def by_file_name(server: ModelServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say it in the name of a wheelhouse."""
    server.serve(PLACE, Reply(404))
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(folder / f"house{ESCAPE}"))


SAYINGS = {
    "reason": by_reason,
    "content-type": by_content_type,
    "location": by_location,
    "followed-location": by_followed_location,
    "proxy": by_proxy,
    "pip": by_pip,
    "file-name": by_file_name,
}
sayings = pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS.keys())


def assert_shown(text: str) -> None:
    """See that the escape was told, and that nothing in the text but line ends is a control character."""
    assert SHOWN in text
    assert_harmless(text)


def assert_harmless(text: str) -> None:
    """See that nothing in a text but line ends is a control character."""
    assert not [character for character in text.replace("\n", "") if not character.isprintable()]


@pytest.fixture(autouse=True)
def _mirror(mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")


@sayings
def test_words_in_error_and_log(  # noqa: PLR0913, PLR0917 - fixtures
    say: Saying,
    wheel: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error, its facts, a traceback with every cause, and the log show the escape and do not send it."""
    caplog.set_level(logging.DEBUG, "modelboot")
    server.serve(PLACE, Reply(404))
    say(server, tmp_path, monkeypatch)
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(wheel.pin_at(None))
    assert_shown(str(failed.value))
    assert_shown("".join(f"{attempt.where}\n{attempt.reason}\n" for attempt in failed.value.attempts))
    assert_shown("".join(traceback.format_exception(failed.value)))
    assert not [text for text in caplog.messages if not text.isprintable()]


@sayings
@pytest.mark.parametrize("command", ["install --debug", "doctor"])
def test_words_in_commands(  # noqa: PLR0913, PLR0917 - fixtures
    say: Saying,
    command: str,
    catalog_has_wheel: None,  # noqa: ARG001 - a fixture for its effect
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What `install --debug` and `doctor` print shows the escape and does not send it, on stdout or stderr."""
    server.serve(PLACE, Reply(404))
    say(server, tmp_path, monkeypatch)
    name, *options = command.split()
    main([name, NAME, *options])
    printed = "".join(capfd.readouterr())
    assert_harmless(printed)
    assert SHOWN in printed or (say is by_followed_location and name == "doctor")


@pytest.fixture
def catalog_has_wheel(wheel: BuiltWheel, tmp_path: Path, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the wheel all that the catalog knows."""
    publish(monkeypatch, tmp_path / "tree", wheel)
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)


def test_words_of_a_damaged_install(
    catalog_has_wheel: None,  # noqa: ARG001 - a fixture for its effect
    target: Path,
    pin: ModelPin,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`verify` and `list` show the name of a file that somebody put into a package."""
    ensure_model(pin)
    (target / NAME / f"x{ESCAPE}.py").touch()
    main(["verify", NAME])
    assert_shown("".join(capfd.readouterr()))
    main(["list"])
    assert_harmless("".join(capfd.readouterr()))
