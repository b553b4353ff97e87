"""A password or a signature that opens a mirror or a proxy is nowhere in what is written, printed or raised."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from modelboot import DownloadError, ModelPin, ensure_model, get_nlp
from modelboot.cli import main
from support.peers import closed_port
from support.server import ModelServer, Reply
from support.wheels import DIST_INFO, NAME, VERSION, BuiltWheel, large_wheel

SECRET = "s3cret-W0rd"  # noqa: S105 - what the tests look for
USER = "us3r-of-it"
LOGIN = f"{USER}:{SECRET}"
ENCODED = base64.b64encode(LOGIN.encode()).decode()
FILE = f"{NAME}-{VERSION}-py3-none-any.whl"
TREE = f"/{NAME}-{VERSION}/{FILE}"
BASE_URL = {"MODELBOOT_BASE_URL": "http://HOST"}
THROUGH = {"http_proxy": f"http://{LOGIN}@HOST", "no_proxy": "", "MODELBOOT_BASE_URL": "http://mirror.invalid"}
HUB = {"HF_TOKEN": SECRET, "HF_ENDPOINT": "http://HOST"}
REFUSED = Reply()


class Way(NamedTuple):
    """How a secret comes in; HOST stands for the server's address."""

    env: Mapping[str, str]
    path: str = TREE
    """What the server is asked for."""
    url: str | None = None
    """The pin's own URL; None where the settings say where the wheel is."""
    netrc: str = ""


WAYS = {
    "base-url": Way({"MODELBOOT_BASE_URL": f"http://{LOGIN}@HOST"}),
    "template": Way({"MODELBOOT_BASE_URL": f"http://HOST/{{file}}?user={USER}&sig={SECRET}"}, f"/{FILE}"),
    "netrc": Way(BASE_URL, netrc=f"machine 127.0.0.1 login {USER} password {SECRET}\n"),
    "token": Way({**BASE_URL, "MODELBOOT_TOKEN": SECRET}),
    "proxy": Way(THROUGH, f"http://mirror.invalid{TREE}"),
    "hub-token": Way(HUB, f"/{FILE}", f"https://huggingface.co/{FILE}"),
    "pin": Way({}, f"/{FILE}", f"http://{LOGIN}@HOST/{FILE}"),
    "signed-pin": Way({}, f"/{FILE}", f"http://HOST/{FILE}?user={USER}&signature={SECRET}#{SECRET}"),
    "signed-redirect": Way({}, "/blob", f"http://HOST/moved/{FILE}"),
}
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
    "redirected-nowhere": (
        Reply(302, {"Location": f"http://{LOGIN}@no host/?{SECRET}"}),
        "is not a valid host name|not known",
    ),
    "refused": (REFUSED, "Connection refused"),
}
Origin = Callable[[str, BuiltWheel, ModelServer, Reply], ModelPin]
Told = Callable[[], list[str]]


@pytest.fixture
def origin(file_mirror: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Origin:
    """Return what lets a server give a reply to who knows the secret, and the settings know it.

    The catalog has the wheel, failures but 500 are final, and the log holds everything.
    """
    assert file_mirror.is_dir()
    caplog.set_level(logging.DEBUG, "modelboot")
    monkeypatch.delenv("MODELBOOT_BASE_URL")

    def set_up(name: str, wheel: BuiltWheel, server: ModelServer, reply: Reply) -> ModelPin:
        way = WAYS[name]
        monkeypatch.setenv("MODELBOOT_RETRIES", "1" if reply.status == 500 else "0")
        monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.3" if reply.stall == "headers" else "30")
        with closed_port() as port:  # where no server listens, none replies
            host = f"127.0.0.1:{port if reply is REFUSED else server.port}"
        server.serve(way.path, reply)
        server.serve(f"/moved/{FILE}", Reply(302, {"Location": f"http://{host}/blob?user={USER}&sig={SECRET}"}))
        Path(os.environ["NETRC"]).write_text(way.netrc, "utf-8")
        for variable, value in way.env.items():
            monkeypatch.setenv(variable, value.replace("HOST", host))
        return wheel.pin_at(way.url and way.url.replace("HOST", server.url[7:] if way.path == "/blob" else host))

    return set_up


def texts_of(error: BaseException) -> Iterator[str]:
    """Give every form in which an error may be shown or sent to another process, and those it came from."""
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")
    yield f"{vars(error)}"
    cause: BaseException | None = error
    while cause is not None:
        yield f"{cause}\n{cause!r}\n{cause.args!r}"
        cause = cause.__cause__ or cause.__context__


def written() -> Iterator[str]:
    """Give names and contents of every file of the target and of modelboot's own store."""
    folders = [Path(os.environ[variable]) for variable in ("MODELBOOT_TARGET", "MODELBOOT_HOME")]
    for path in [path for folder in folders for path in folder.rglob("*")]:
        yield str(path)
        with suppress(FileNotFoundError, IsADirectoryError):  # what is temporary may go meanwhile
            yield path.read_bytes().decode("latin-1")


def assert_not_told(*texts: str) -> None:
    """See that no text holds the secret, in the clear or as it is sent."""
    for text in texts:
        for secret in (SECRET, ENCODED, f"{USER}:"):
            assert secret not in text


def assert_sent(server: ModelServer) -> None:
    """See that the secret did reach the server: what is not sent cannot be told."""
    sent = [f"{request.path} {request.headers!r}" for request in server.requests]
    assert any(SECRET in text or ENCODED in text for text in sent)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Told:
    """Return what gives the log, and all that was printed since it was last asked for: stdout, stderr."""
    return lambda: [caplog.text, *capfd.readouterr()]


@pytest.mark.parametrize("way", WAYS)
def test_secret_in_success(way: str, origin: Origin, wheel: BuiltWheel, server: ModelServer, told: Told) -> None:
    """An install that needed a secret leaves it neither in a file nor in the log, the result or what is printed."""
    model = ensure_model(origin(way, wheel, server, Reply(body=wheel.content)))
    assert_sent(server)
    direct_url = Path(os.environ["MODELBOOT_TARGET"]) / DIST_INFO / "direct_url.json"
    assert urlsplit(json.loads(direct_url.read_text("utf-8"))["url"]).path.endswith(FILE)
    log, *printed = told()
    assert log
    assert_not_told(log, *printed, repr(model), str(model), pickle.dumps(model).decode("latin-1"), *written())


@pytest.mark.parametrize("command", ["install --json", "doctor", "doctor --json"])
@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.url is None])
def test_secret_in_command(  # noqa: PLR0913, PLR0917 - fixtures
    way: str, command: str, origin: Origin, wheel: BuiltWheel, server: ModelServer, told: Told
) -> None:
    """Neither `install` nor `doctor`, which shows the settings in force, tells a secret."""
    origin(way, wheel, server, Reply(body=wheel.content))
    assert main([*command.split(), NAME, "--debug"]) == 0
    log, out, err = told()
    assert ("MODELBOOT_BASE_URL" if "doctor" in command else NAME) in out
    assert_sent(server)
    assert_not_told(log, out, err, *written())


def marks_of(way: str, failure: str) -> list[pytest.MarkDecorator]:
    """Have each way fail once and the first one in every manner; the others only where the run is exhaustive."""
    always = failure == "404" or way == "base-url" or (way, failure) in {("proxy", "407"), ("proxy", "refused")}
    return [] if always else [pytest.mark.exhaustive]


@pytest.mark.parametrize(
    ("way", "failure"),
    [pytest.param(*row, id="-".join(row), marks=marks_of(*row)) for row in itertools.product(WAYS, FAILURES)],
)
def test_secret_in_failure(  # noqa: PLR0913, PLR0917 - fixtures
    way: str, failure: str, origin: Origin, wheel: BuiltWheel, server: ModelServer, told: Told
) -> None:
    """However it fails, the secret is in no form of the error, nor in the log, in a file or in what is printed.

    Nor is it in the failure that `get_nlp` repeats, or in what `install --debug` prints with every cause.
    """
    reply, reason = FAILURES[failure]
    pin = origin(way, wheel, server, reply)
    for ask in (ensure_model, get_nlp, get_nlp):
        with pytest.raises(DownloadError, match=reason) as failed:
            ask(pin)
        assert_not_told(*texts_of(failed.value))
    if reply is not REFUSED:
        assert_sent(server)
    if pin.url is None:
        assert main(["install", NAME, "--debug"]) == 1
    log, out, err = told()
    assert ("Traceback" in err) is (pin.url is None)
    assert_not_told(log, out, err, *written())


@pytest.mark.parametrize("way", ["base-url", "netrc", "proxy"])
def test_secret_in_a_transfer_under_way(way: str, origin: Origin, tmp_path: Path) -> None:
    """What lies on disk while the wheel is being received holds no secret, either."""
    wheel = large_wheel(tmp_path / "large")
    with ThreadPoolExecutor() as pool:
        with ModelServer() as server:
            reply = Reply(headers={"ETag": '"a"'}, body=wheel.content, stall="body")
            waiting = pool.submit(ensure_model, origin(way, wheel, server, reply))
            ends_at = time.monotonic() + 25
            while not any(len(text) > 100_000 for text in written()):
                assert time.monotonic() < ends_at, "nothing was received"
            assert_not_told(*written())
            assert_sent(server)
        with pytest.raises(DownloadError, match=NAME):
            waiting.result(60)


def test_secret_is_looked_for() -> None:
    """The scan itself finds each form of the secret."""
    for text in (f"http://{LOGIN}@x", f"?sig={SECRET}", f"Basic {ENCODED}", f"{USER}:***@x"):
        with pytest.raises(AssertionError, match="not in"):
            assert_not_told(text)
