"""A password or a signature that opens a mirror or a proxy is nowhere in what is written, printed or raised."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import socket
import subprocess
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import pytest

from modelboot import DownloadError, ModelPin, ensure_model, get_nlp
from modelboot._network import retry as _retry
from modelboot._network.response import RequestError
from modelboot.cli import main
from support.children import python
from support.server import ModelServer, Reply
from support.sources import catalog_lines
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel

if TYPE_CHECKING:
    Way: TypeAlias = "Callable[[Origin, pytest.MonkeyPatch], ModelPin]"

SECRET = "s3cret-W0rd"  # noqa: S105 - what the tests look for
USER = "us3r-of-it"
LOGIN = f"{USER}:{SECRET}"
ENCODED = base64.b64encode(LOGIN.encode()).decode()
FILE = f"{NAME}-{VERSION}-py3-none-any.whl"
TREE = f"/{NAME}-{VERSION}/{FILE}"

CHILD = """
import json, sys
from modelboot import _catalog
from modelboot import cli as _cli
from modelboot._network import retry as _retry
lines = json.loads(sys.argv[1])
_catalog._lines = lambda: lines
_retry.FIRST_DELAY_S = 0.01
sys.exit(_cli.main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Origin:
    """Who has the wheel: a server, and what it replies to who knows the secret; None where nobody listens."""

    wheel: BuiltWheel
    server: ModelServer
    reply: Reply | None

    @property
    def host(self) -> str:
        """The server's address; a port nobody listens on where it refuses."""
        if self.reply is not None:
            return f"127.0.0.1:{self.server.port}"
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:
            return f"127.0.0.1:{listening.getsockname()[1]}"

    def serve(self, path: str) -> None:
        """Reply at a path."""
        if self.reply is not None:
            self.server.serve(path, self.reply)


def by_base_url(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
    """Name the mirror with user and password."""
    origin.serve(TREE)
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://{LOGIN}@{origin.host}")
    return origin.wheel.pin_at(None)


def by_netrc(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
    """Keep user and password of the mirror in .netrc."""
    origin.serve(TREE)
    Path(os.environ["NETRC"]).write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n", "utf-8")
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://{origin.host}")
    return origin.wheel.pin_at(None)


def by_proxy(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
    """Reach the mirror through a proxy that wants user and password."""
    origin.serve(f"http://mirror.invalid{TREE}")
    monkeypatch.setenv("http_proxy", f"http://{LOGIN}@{origin.host}")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://mirror.invalid")
    return origin.wheel.pin_at(None)


def by_pin(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:  # noqa: ARG001 - like the others
    """Pin a URL with user and password."""
    origin.serve(f"/{FILE}")
    return origin.wheel.pin_at(f"http://{LOGIN}@{origin.host}/{FILE}")


def by_signed_pin(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:  # noqa: ARG001 - like the others
    """Pin a URL with a signature."""
    origin.serve(f"/{FILE}")
    return origin.wheel.pin_at(f"http://{origin.host}/{FILE}?user={USER}&signature={SECRET}#{SECRET}")


def by_signed_redirect(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:  # noqa: ARG001 - like the others
    """Be redirected to a URL with a signature, as release hosts do."""
    origin.server.serve(f"/{FILE}", Reply(302, {"Location": f"http://{origin.host}/blob?user={USER}&sig={SECRET}"}))
    origin.serve("/blob")
    return origin.wheel.pin_at(f"{origin.server.url}/{FILE}")


def by_token(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
    """Keep a token for the mirror in MODELBOOT_TOKEN."""
    origin.serve(TREE)
    monkeypatch.setenv("MODELBOOT_TOKEN", SECRET)
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://{origin.host}")
    return origin.wheel.pin_at(None)


def by_hub_token(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
    """Keep a token for the model hub in HF_TOKEN, the hub having another address."""
    origin.serve(f"/{FILE}")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HF_ENDPOINT", f"http://{origin.host}")
    return origin.wheel.pin_at(f"https://huggingface.co/{FILE}")


WAYS = {
    "base-url": by_base_url,
    "netrc": by_netrc,
    "proxy": by_proxy,
    "pin": by_pin,
    "signed-pin": by_signed_pin,
    "signed-redirect": by_signed_redirect,
    "token": by_token,
    "hub-token": by_hub_token,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
FAILURES = {
    "404": (Reply(404), "HTTP 404"),
    "401": (Reply(401, {"WWW-Authenticate": "Basic"}), "HTTP 401"),
    "407": (Reply(407, {"Proxy-Authenticate": "Basic"}), "HTTP 407"),
    "500": (Reply(500), "HTTP 500 Internal Server Error, 2 attempts"),
    "other-bytes": (Reply(body=b"PK other"), "got sha256"),
    "page": (Reply(headers={"Content-Type": "text/html"}, body=b"<html>"), "received an HTML page"),
    "cut": (Reply(body=b"PK", declared_length=9), "cut short"),
    "reset": (Reply(body=b"PK", declared_length=9, reset=True), "cut short|[Rr]eset"),
    "stall": (Reply(stall="headers"), "no byte for"),
    "redirected-away": (Reply(302, {"Location": f"ftp://{LOGIN}@x/?{SECRET}"}), "redirects from http to ftp://x"),
    "redirected-nowhere": (Reply(302, {"Location": f"http://{LOGIN}@no host/?{SECRET}"}), "is no address|not known"),
    "refused": (None, "Connection refused"),
}
failures = pytest.mark.parametrize(("reply", "reason"), FAILURES.values(), ids=FAILURES.keys())


@pytest.fixture
def origin(wheel: BuiltWheel, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """Return an origin that replies with the wheel; failures take little time."""
    monkeypatch.setattr(_retry, "FIRST_DELAY_S", 0.01)
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.3")
    monkeypatch.setenv("MODELBOOT_RETRIES", "1")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return Origin(wheel, server, Reply(body=wheel.content))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk an error and all it came from, those that are not shown among them."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def texts_of(error: BaseException) -> Iterator[str]:
    """Give every form in which an error may be shown or sent to another process."""
    yield "".join(traceback.format_exception(error))
    yield from (f"{one}\n{one!r}\n{one.args!r}" for one in chain(error))
    yield pickle.dumps(error).decode("latin-1")
    yield f"{vars(error)}"


def written() -> Iterator[str]:
    """Give names and contents of every file of the target and of modelboot's own store."""
    folders = [Path(os.environ[variable]) for variable in ("MODELBOOT_TARGET", "MODELBOOT_HOME")]
    for path in [path for folder in folders for path in folder.rglob("*")]:
        yield str(path)
        if path.is_file():
            yield path.read_bytes().decode("latin-1")


def assert_not_told(*texts: str) -> None:
    """See that no text holds the secret, in the clear or as it is sent."""
    for text in texts:
        assert text is not None
        for secret in (SECRET, ENCODED, f"{USER}:"):
            assert secret not in text


def assert_sent(server: ModelServer) -> None:
    """See that the secret did reach the server: what is not sent cannot be told."""
    sent = [f"{request.path} {request.headers!r}" for request in server.requests]
    assert any(SECRET in text or ENCODED in text for text in sent)


@ways
def test_secret_in_success(  # noqa: PLR0913, PLR0917 - fixtures
    origin: Origin,
    target: Path,
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """An install that needed a secret leaves it neither in a file nor in the log, the result or what is printed."""
    caplog.set_level(logging.DEBUG, "modelboot")
    model = ensure_model(way(origin, monkeypatch))
    assert_sent(origin.server)
    direct_url = target / DIST_INFO / "direct_url.json"
    assert urlsplit(json.loads(direct_url.read_text("utf-8"))["url"]).path.endswith(FILE)
    assert caplog.records
    assert_not_told(caplog.text, repr(model), str(model), pickle.dumps(model).decode("latin-1"))
    assert_not_told(*capfd.readouterr(), *written())


@failures
@ways
def test_secret_in_failure(  # noqa: PLR0913, PLR0917 - fixtures
    origin: Origin,
    way: Way,
    reply: Reply | None,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """However it fails, the secret is in no form of the error, nor in the log, in a file or in what is printed."""
    caplog.set_level(logging.DEBUG, "modelboot")
    origin = replace(origin, reply=reply)
    pin = way(origin, monkeypatch)
    with pytest.raises(DownloadError, match=reason) as failed:
        ensure_model(pin)
    if reply is not None:
        assert_sent(origin.server)
    assert_not_told(*texts_of(failed.value), caplog.text)
    assert_not_told(*capfd.readouterr(), *written())


def test_secret_in_repeated_failure(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure that `get_nlp` repeats tells no more than the first."""
    pin = by_base_url(replace(origin, reply=Reply(404)), monkeypatch)
    for _ in range(2):
        with pytest.raises(DownloadError, match="HTTP 404") as failed:
            get_nlp(pin)
        assert_not_told(*texts_of(failed.value))


@pytest.mark.parametrize("way", [by_base_url, by_netrc, by_proxy], ids=["base-url", "netrc", "proxy"])
def test_secret_in_partial_download(origin: Origin, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies on disk while a transfer is under way holds no secret, either."""
    origin = replace(origin, reply=Reply(headers={"ETag": '"a"'}, body=origin.wheel.content, stall="body"))
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    seen: list[str] = []
    next_delay_s = _retry.RetryBudget.next_delay_s

    def look(budget: _retry.RetryBudget, error: RequestError, remaining_s: float) -> float | None:
        seen.extend(written())
        return next_delay_s(budget, error, remaining_s)

    monkeypatch.setattr(_retry.RetryBudget, "next_delay_s", look)
    pin = way(origin, monkeypatch)
    with pytest.raises(DownloadError, match="no byte for"):
        ensure_model(pin)
    assert any(".part.json" in text for text in seen)
    assert_not_told(*seen)


def run(wheel: BuiltWheel, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process whose catalog has the wheel."""
    return python(CHILD, json.dumps(catalog_lines(wheel)), *arguments, env=env)


CLI_WAYS = {"base-url": by_base_url, "netrc": by_netrc, "proxy": by_proxy, "token": by_token}
CLI_REPLIES = {name: FAILURES[name] for name in ("404", "401", "other-bytes", "page", "refused")}


@pytest.mark.parametrize("way", CLI_WAYS.values(), ids=CLI_WAYS.keys())
def test_secret_in_command_that_succeeds(origin: Origin, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """`install --debug --json` prints no secret."""
    way(origin, monkeypatch)
    done = run(origin.wheel, "install", NAME, "--debug", "--json", env={"MODELBOOT_PROGRESS": "1"})
    assert (done.returncode, NAME in done.stdout) == (0, True), done.stderr
    assert done.stderr
    assert_sent(origin.server)
    assert_not_told(done.stdout, done.stderr, *written())


@pytest.mark.parametrize(("reply", "reason"), CLI_REPLIES.values(), ids=CLI_REPLIES.keys())
@pytest.mark.parametrize("way", CLI_WAYS.values(), ids=CLI_WAYS.keys())
def test_secret_in_command_that_fails(
    origin: Origin, way: Way, reply: Reply | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`install --debug`, which prints a traceback with every cause, prints no secret."""
    origin = replace(origin, reply=reply)
    way(origin, monkeypatch)
    done = run(origin.wheel, "install", NAME, "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert reason in done.stderr
    assert_not_told(done.stdout, done.stderr, *written())


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("way", CLI_WAYS.values(), ids=CLI_WAYS.keys())
@pytest.mark.usefixtures("file_mirror")  # its catalog
def test_secret_in_doctor(
    origin: Origin, way: Way, form: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`doctor`, which shows the settings in force, shows no secret."""
    way(origin, monkeypatch)
    main(["doctor", NAME, "--debug", *form])
    out, err = capfd.readouterr()
    assert "MODELBOOT_BASE_URL" in out
    assert_sent(origin.server)
    assert_not_told(out, err)


def test_secret_is_looked_for() -> None:
    """The scan itself finds each form of the secret."""
    for text in (f"http://{LOGIN}@x", f"?sig={SECRET}", f"Basic {ENCODED}", f"{USER}:***@x"):
        with pytest.raises(AssertionError, match="not in"):
            assert_not_told(text)
