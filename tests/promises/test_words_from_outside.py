"""What servers, proxies, indexes and file names say reaches people as text: no terminal obeys it."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import publish, use_index_at
from support.wheels import NAME, VERSION, BuiltWheel

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
"""Sets a title and clears the screen; the last one is a C1 control, which some terminals obey as well."""
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m"
PLACE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
INDEX = f"/simple/{NAME.replace('_', '-')}/"


SAYINGS: dict[str, tuple[dict[str, Reply], dict[str, str]]] = {
    "reason": ({PLACE: Reply(404, reason=f"Not{ESCAPE}Found")}, {}),
    "content-type": ({PLACE: Reply(headers={"Content-Type": f"text/html;{ESCAPE}"}, body=b"<html>")}, {}),
    "location": ({PLACE: Reply(302, {"Location": f"ftp://x/{ESCAPE}"})}, {}),
    "followed-location": ({PLACE: Reply(302, {"Location": f"/{ESCAPE}"})}, {}),
    "proxy": (
        {"mirror.invalid:443": Reply(407, reason=f"No{ESCAPE}")},
        {"https_proxy": "URL", "MODELBOOT_BASE_URL": "https://mirror.invalid"},
    ),
    "file-name": ({}, {"MODELBOOT_WHEELHOUSE": f"TMP/house{ESCAPE}"}),
}
"""What a server replies, and variables; URL stands for the server's, TMP for a folder."""


@pytest.fixture
def say(request: pytest.FixtureRequest, wheel: BuiltWheel, server: ModelServer, tmp_path: Path) -> str:
    """Let it be said; the wheel is all that the catalog knows, and the server its mirror, which has it not."""
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    publish(monkeypatch, tmp_path / "tree", wheel)
    replies, env = SAYINGS.get(getattr(request, "param", ""), ({}, {}))
    for path, reply in ({PLACE: Reply(404)} | replies).items():
        server.serve(path, reply)
    for name, value in ({"MODELBOOT_BASE_URL": "URL", "MODELBOOT_RETRIES": "0"} | env).items():
        monkeypatch.setenv(name, value.replace("URL", server.url).replace("TMP", str(tmp_path)))
    return str(getattr(request, "param", ""))


def assert_harmless(*texts: str) -> None:
    """See that nothing in a text but line ends is a control character."""
    for text in texts:
        assert not [character for character in text.replace("\n", "") if not character.isprintable()]


@pytest.mark.usefixtures("say")
@pytest.mark.parametrize("say", SAYINGS, indirect=True)
def test_words_in_error_and_log(wheel: BuiltWheel, caplog: pytest.LogCaptureFixture) -> None:
    """The error, its facts, a traceback with every cause, and the log show the escape and do not send it."""
    caplog.set_level(logging.DEBUG, "modelboot")
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(wheel.pin_at(None))
    facts = "".join(f"{attempt.where}\n{attempt.reason}\n" for attempt in failed.value.attempts)
    for text in (str(failed.value), facts, "".join(traceback.format_exception(failed.value))):
        assert SHOWN in text
        assert_harmless(text)
    assert_harmless(*caplog.messages)


@pytest.mark.parametrize("say", SAYINGS, indirect=True)
@pytest.mark.parametrize("command", ["install --debug", "doctor"])
def test_words_in_commands(say: str, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What `install --debug` and `doctor` print shows the escape and does not send it, on stdout or stderr."""
    main([*command.split(), NAME])
    printed = "".join(capfd.readouterr())
    assert_harmless(printed)
    assert SHOWN in printed or (say, command) == ("followed-location", "doctor")


@pytest.mark.usefixtures("say")
def test_words_of_an_index(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An index that refuses in such words is told of in harmless ones."""
    use_index_at(server.url, monkeypatch)
    server.serve(INDEX, Reply(403, reason=f"No{ESCAPE}", body=f"<title>{ESCAPE}</title>".encode()))
    assert main(["install", NAME, "--debug"]) == 1
    printed = "".join(capfd.readouterr())
    assert "index" in printed
    assert_harmless(printed)


@pytest.mark.usefixtures("say")
def test_words_of_a_damaged_install(
    wheel: BuiltWheel, pin: ModelPin, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`verify` and `list` show the name of a file that a user put into a package."""
    ensure_model(pin)
    (target / wheel.name / f"x{ESCAPE}.py").touch()
    main(["verify", NAME])
    printed = "".join(capfd.readouterr())
    assert SHOWN in printed
    main(["list"])
    assert_harmless(printed, *capfd.readouterr())
