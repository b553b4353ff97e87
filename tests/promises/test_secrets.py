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
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
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
NETRC = f"machine 127.0.0.1 login {USER} password {SECRET}\n"


@dataclass(frozen=True)
class Way:
    """How a secret comes in; HOST stands for the server's address.

    Attributes:
        env: Variables.
        path: What the server is asked for.
        url: The pin's own URL; None where the settings say where the wheel is.
        moved_to: A URL that the path redirects to; it is on the server, too.
        netrc: The text of .netrc.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    path: str = TREE
    url: str | None = None
    moved_to: str = ""
    netrc: str = ""

    def set_up(self, wheel: BuiltWheel, server: ModelServer, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> ModelPin:
        """Let the server give a reply to who knows the secret, and the settings know it; return the pin to ask for."""
        with closed_port() as port:  # where nobody listens, nobody replies
            host = f"127.0.0.1:{port if reply is REFUSED else server.port}"
        moved = Reply(302, {"Location": self.moved_to.replace("HOST", host)})
        server.serve(self.path, moved if self.moved_to else reply)
        server.serve("/blob", reply)
        Path(os.environ["NETRC"]).write_text(self.netrc, "utf-8")
        monkeypatch.delenv("MODELBOOT_BASE_URL")
        for name, value in self.env.items():
            monkeypatch.setenv(name, value.replace("HOST", host))
        url = self.url and self.url.replace("HOST", f"127.0.0.1:{server.port}" if self.moved_to else host)
        return wheel.pin_at(url)


REFUSED = Reply()
BASE_URL = {"MODELBOOT_BASE_URL": "http://HOST"}
WAYS = {
    "base-url": Way({"MODELBOOT_BASE_URL": f"http://{LOGIN}@HOST"}),
    "netrc": Way(BASE_URL, netrc=NETRC),
    "token": Way({**BASE_URL, "MODELBOOT_TOKEN": SECRET}),
    "proxy": Way(
        {"http_proxy": f"http://{LOGIN}@HOST", "no_proxy": "", "MODELBOOT_BASE_URL": "http://mirror.invalid"},
        f"http://mirror.invalid{TREE}",
    ),
    "hub-token": Way({"HF_TOKEN": SECRET, "HF_ENDPOINT": "http://HOST"}, f"/{FILE}", f"https://huggingface.co/{FILE}"),
    "pin": Way({}, f"/{FILE}", f"http://{LOGIN}@HOST/{FILE}"),
    "signed-pin": Way({}, f"/{FILE}", f"http://HOST/{FILE}?user={USER}&signature={SECRET}#{SECRET}"),
    "signed-redirect": Way({}, f"/{FILE}", f"http://HOST/{FILE}", f"http://HOST/blob?user={USER}&sig={SECRET}"),
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
    "redirected-nowhere": (Reply(302, {"Location": f"http://{LOGIN}@no host/?{SECRET}"}), "is no address|not known"),
    "refused": (REFUSED, "Connection refused"),
}


def marks_of(way: str, failure: str) -> list[pytest.MarkDecorator]:
    """Have each way fail once and the first one in every manner; the others only where the run is exhaustive."""
    special = failure == "404" or way == "base-url" or (way, failure) in {("proxy", "407"), ("proxy", "refused")}
    return [] if special else [pytest.mark.exhaustive]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let failures be final, no proxy be set, and the log hold everything."""
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    caplog.set_level(logging.DEBUG, "modelboot")


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


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.usefixtures("file_mirror")  # its catalog
def test_secret_in_success(  # noqa: PLR0913, PLR0917 - fixtures
    way: Way,
    wheel: BuiltWheel,
    server: ModelServer,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """An install that needed a secret leaves it neither in a file nor in the log, the result or what is printed.

    Nor does `install`, or `doctor`, which shows the settings in force.
    """
    pin = way.set_up(wheel, server, Reply(body=wheel.content), monkeypatch)
    model = ensure_model(pin)
    assert_sent(server)
    direct_url = target / DIST_INFO / "direct_url.json"
    assert urlsplit(json.loads(direct_url.read_text("utf-8"))["url"]).path.endswith(FILE)
    assert caplog.records
    assert_not_told(caplog.text, repr(model), str(model), pickle.dumps(model).decode("latin-1"), *written())
    monkeypatch.setenv("MODELBOOT_PROGRESS", "1")
    monkeypatch.setenv("MODELBOOT_TARGET", str(target / "other"))
    for command in ("install --json", "doctor", "doctor --json") if pin.url is None else ():
        asked = len(server.requests)
        assert main([*command.split(), NAME, "--debug"]) == 0
        out, err = capfd.readouterr()
        assert "MODELBOOT_BASE_URL" in out or (NAME in out and err)
        assert len(server.requests) > asked
        assert_not_told(out, err)
    assert_not_told(*capfd.readouterr(), *written())


@pytest.mark.parametrize(
    ("way", "failure"),
    [pytest.param(*row, id="-".join(row), marks=marks_of(*row)) for row in itertools.product(WAYS, FAILURES)],
)
@pytest.mark.usefixtures("file_mirror")
def test_secret_in_failure(  # noqa: PLR0913, PLR0917 - fixtures
    way: str,
    failure: str,
    wheel: BuiltWheel,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """However it fails, the secret is in no form of the error, nor in the log, in a file or in what is printed.

    Nor is it in the failure that `get_nlp` repeats, or in what `install --debug` prints with every cause.
    """
    reply, reason = FAILURES[failure]
    monkeypatch.setenv("MODELBOOT_RETRIES", "1" if failure == "500" else "0")
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.3" if failure == "stall" else "30")
    pin = WAYS[way].set_up(wheel, server, reply, monkeypatch)
    for ask in (ensure_model, get_nlp, get_nlp):
        with pytest.raises(DownloadError, match=reason) as failed:
            ask(pin)
        assert_not_told(*texts_of(failed.value))
    if reply is not REFUSED:
        assert_sent(server)
    if pin.url is None:
        assert main(["install", NAME, "--debug"]) == 1
    out, err = capfd.readouterr()
    assert ("Traceback" in err) is (pin.url is None)
    assert_not_told(out, err, caplog.text, *written())


@pytest.mark.parametrize("way", ["base-url", "netrc", "proxy"])
@pytest.mark.usefixtures("file_mirror")
def test_secret_in_a_transfer_under_way(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies on disk while the wheel is being received holds no secret, either."""
    wheel = large_wheel(tmp_path / "large")
    with ThreadPoolExecutor() as pool:
        with ModelServer() as server:
            reply = Reply(headers={"ETag": '"a"'}, body=wheel.content, stall="body")
            waiting = pool.submit(ensure_model, WAYS[way].set_up(wheel, server, reply, monkeypatch))
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
