"""What servers, proxies, indexes and file names say reaches people as text: no terminal obeys it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import point_pip_at, publish
from support.wheels import NAME, VERSION, BuiltWheel

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
"""Sets a title and clears the screen; the last one is a C1 control, which some terminals obey as well."""
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m"
PLACE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
INDEX = f"/simple/{NAME.replace('_', '-')}/"


@dataclass(frozen=True)
class Saying:
    """What a server replies, and variables; URL stands for the server's, TMP for a folder."""

    replies: Mapping[str, Reply] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


SAYINGS = {
    "reason": Saying({PLACE: Reply(404, reason=f"Not{ESCAPE}Found")}),
    "content-type": Saying({PLACE: Reply(headers={"Content-Type": f"text/html;{ESCAPE}"}, body=b"<html>")}),
    "location": Saying({PLACE: Reply(302, {"Location": f"ftp://x/{ESCAPE}"})}),
    "followed-location": Saying({PLACE: Reply(302, {"Location": f"/{ESCAPE}"})}),
    "proxy": Saying(
        {"mirror.invalid:443": Reply(407, reason=f"No{ESCAPE}")},
        {"https_proxy": "URL", "MODELBOOT_BASE_URL": "https://mirror.invalid"},
    ),
    "file-name": Saying(env={"MODELBOOT_WHEELHOUSE": f"TMP/house{ESCAPE}"}),
}
EVERYTHING = pytest.mark.parametrize("say", SAYINGS)


@pytest.fixture(autouse=True)
def _mirror(wheel: BuiltWheel, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the wheel all that the catalog knows, and the server its mirror, which has it not."""
    publish(monkeypatch, tmp_path / "tree", wheel)
    server.serve(PLACE, Reply(404))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")


def set_up(say: str, server: ModelServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be said."""
    for path, reply in SAYINGS[say].replies.items():
        server.serve(path, reply)
    for name, value in SAYINGS[say].env.items():
        monkeypatch.setenv(name, value.replace("URL", server.url).replace("TMP", str(folder)))


def assert_harmless(*texts: str) -> None:
    """See that nothing in a text but line ends is a control character."""
    for text in texts:
        assert not [character for character in text.replace("\n", "") if not character.isprintable()]


@EVERYTHING
def test_words_in_error_and_log(  # noqa: PLR0913, PLR0917 - fixtures
    say: str,
    wheel: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error, its facts, a traceback with every cause, and the log show the escape and do not send it."""
    caplog.set_level(logging.DEBUG, "modelboot")
    set_up(say, server, tmp_path, monkeypatch)
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(wheel.pin_at(None))
    facts = "".join(f"{attempt.where}\n{attempt.reason}\n" for attempt in failed.value.attempts)
    for text in (str(failed.value), facts, "".join(traceback.format_exception(failed.value))):
        assert SHOWN in text
        assert_harmless(text)
    assert_harmless(*caplog.messages)


@EVERYTHING
@pytest.mark.parametrize("command", ["install --debug", "doctor"])
def test_words_in_commands(  # noqa: PLR0913, PLR0917 - fixtures
    say: str,
    command: str,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What `install --debug` and `doctor` print shows the escape and does not send it, on stdout or stderr."""
    set_up(say, server, tmp_path, monkeypatch)
    name, *options = command.split()
    main([name, NAME, *options])
    printed = "".join(capfd.readouterr())
    assert_harmless(printed)
    assert SHOWN in printed or (say, name) == ("followed-location", "doctor")


def test_words_of_an_index(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An index that refuses in such words is told of in harmless ones."""
    point_pip_at(server.url, monkeypatch)
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    server.serve(INDEX, Reply(403, reason=f"No{ESCAPE}", body=f"<title>{ESCAPE}</title>".encode()))
    assert main(["install", NAME, "--debug"]) == 1
    printed = "".join(capfd.readouterr())
    assert "index" in printed
    assert_harmless(printed)


def test_words_of_a_damaged_install(
    wheel: BuiltWheel, pin: ModelPin, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`verify` and `list` show the name of a file that somebody put into a package."""
    ensure_model(pin)
    (target / wheel.name / f"x{ESCAPE}.py").touch()
    main(["verify", NAME])
    printed = "".join(capfd.readouterr())
    assert SHOWN in printed
    main(["list"])
    assert_harmless(printed, *capfd.readouterr())
