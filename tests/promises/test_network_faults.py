"""Whatever a server does wrong: the pinned wheel or an error in words, soon, and nothing left.

One table of scripted replies; every row is a whole `ensure_model` call over loopback.
"""

from __future__ import annotations

import email.utils
import functools
import gzip
import hashlib
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelboot import DownloadError, HashMismatchError, ModelPin, ensure_model
from modelboot._network import retry as _retry
from support.folders import parts_below, snapshot
from support.interrupts import threads_left
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import Request

PATH = "/w.whl"
ETAG = '"one"'
CUT = 300_000
CAP = 3 * (1 << 20) * 5 // 4
"""Most bytes taken for a pin of 1 MB."""
HTML = b"<!DOCTYPE html><title>Sign in</title>"
STALL = {"MODELBOOT_TIMEOUT": "0.5"}
BOMB = gzip.compress(gzip.compress(bytes(1 << 26)))
"""A few hundred bytes of 64 MiB: a client that expands what it was not to be sent has no limit to hold on to."""


@dataclass(frozen=True)
class Replies:
    """What the servers of a row answer with: the wheel, or part of it, and redirects to another server."""

    wheel: bytes
    other: ModelServer

    @property
    def full(self) -> Reply:
        """The wheel, from a server that can resume."""
        return Reply(headers={"ETag": ETAG}, body=self.wheel, ranged=True)

    @property
    def cut(self) -> Reply:
        """The wheel from where it is asked, cut after some bytes."""
        return Reply(headers={"ETag": ETAG}, body=self.wheel, ranged=True, cut_after_bytes=CUT)

    @property
    def altered(self) -> bytes:
        """The wheel with one byte altered, among the first that are sent."""
        return self.wheel[:1000] + bytes([self.wheel[1000] ^ 1]) + self.wheel[1001:]

    def moved(self, path: str = "/v.whl", *, to: str = "", status: int = 302) -> Reply:
        """A redirect, to the same server or to another place."""
        return Reply(status, {"Location": f"{to}{path}"})


@dataclass(frozen=True)
class Case:
    """One row: what is answered, and what comes of it.

    Attributes:
        replies: What each path is answered, in turn; a path that starts with "other" is the other server's.
        reason: Why it fails, whole, as a pattern; None when the wheel is got.
        asked: Every request of the first server: its path, and where it resumes.
        env: Settings beside the defaults.
        within_s: Seconds it may take at most.
        least_s: Seconds it must take at least.
        kind: What the failure is told to be.
        elsewhere: Requests of the other server.
        real_pauses: Whether the waits between tries are the real ones.
    """

    replies: Callable[[Replies], Mapping[str, list[Reply]]]
    reason: str | None = None
    asked: list[str] = field(default_factory=lambda: [PATH])
    env: Mapping[str, str] = field(default_factory=dict)
    within_s: float = 5.0
    least_s: float = 0.0
    kind: str = "other"
    elsewhere: int = 0
    real_pauses: bool = False


def answers(*replies: Reply) -> Callable[[Replies], Mapping[str, list[Reply]]]:
    """Answer the wheel's path with replies that need no wheel."""
    return lambda _: {PATH: [*replies]}


def by_name(*names: str | Reply) -> Callable[[Replies], Mapping[str, list[Reply]]]:
    """Answer the wheel's path with replies of `Replies`, by name."""
    return lambda replies: {PATH: [name if isinstance(name, Reply) else getattr(replies, name) for name in names]}


def in_s(seconds: float) -> str:
    """Word a point in time as HTTP does."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


AGAIN = f"{PATH} from {CUT}"
COMPRESSED = r"sends the file compressed \(gzip\), although asked not to"
OTHER_BYTES = r"got sha256 [0-9a-f]{64} in [\d,]+ bytes"
DIRECT = {
    "ok": Case(by_name("full")),
    "chunked": Case(lambda s: {PATH: [Reply(body=s.wheel, chunked=True)]}),
    "gzip-forced": Case(
        lambda s: {PATH: [Reply(headers={"Content-Encoding": "gzip", "ETag": ETAG}, body=gzip.compress(s.wheel, 1))]},
        COMPRESSED,
    ),
    "gzip-twice": Case(
        answers(Reply(headers={"Content-Encoding": "gzip, gzip"}, body=BOMB)),
        r"sends the file compressed \(gzip, gzip\), although asked not to",
    ),
    "404": Case(answers(Reply(404)), "HTTP 404 Not Found", kind="missing"),
    "403": Case(
        answers(Reply(403)),
        r"HTTP 403 Forbidden: give user:password in the URL or \.netrc, "
        r"MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub",
        kind="login",
    ),
    "410": Case(answers(Reply(410)), "HTTP 410 Gone", kind="missing"),
    "501": Case(answers(Reply(501)), "HTTP 501 Not Implemented"),
    "short-honest-length": Case(lambda s: {PATH: [Reply(body=s.wheel[:-1000])]}, OTHER_BYTES, kind="bytes"),
    "one-byte-altered": Case(lambda s: {PATH: [Reply(body=s.altered)]}, OTHER_BYTES, kind="bytes"),
    "twice-as-long": Case(lambda s: {PATH: [Reply(body=s.wheel * 2)]}, OTHER_BYTES, kind="bytes"),
    "declares-too-much": Case(
        lambda s: {PATH: [Reply(body=s.wheel, declared_length=10**7)]},
        "declares 10,000,000 bytes, more than the 3,932,160 expected",
    ),
    "endless": Case(answers(Reply(body=b"PK", endless=True)), "sends more than the 3,932,160 bytes expected"),
    "endless-chunks": Case(
        answers(Reply(body=b"PK", endless=True, chunked=True)), "sends more than the 3,932,160 bytes expected"
    ),
    "html": Case(
        answers(Reply(headers={"Content-Type": "text/html"}, body=HTML)),
        r"received an HTML page instead of the wheel \(text/html\)",
        kind="page",
    ),
    "json": Case(
        answers(Reply(headers={"Content-Type": "application/json"}, body=b'{"errors": []}')),
        r"received a JSON document instead of the wheel \(application/json\)",
        kind="page",
    ),
    "html-as-file": Case(
        answers(Reply(headers={"Content-Type": "application/octet-stream"}, body=HTML)),
        r"received an HTML page instead of the wheel \(application/octet-stream\)",
        kind="page",
    ),
}
REDIRECTS = {
    "same-host": Case(lambda s: {PATH: [s.moved()], "/v.whl": [s.full]}, asked=[PATH, "/v.whl"]),
    "other-host": Case(
        lambda s: {PATH: [s.moved(to=f"http://localhost:{s.other.port}")], "other/v.whl": [s.full]}, elsewhere=1
    ),
    "signed": Case(
        lambda s: {PATH: [s.moved("/v.whl?sig=s3cret", status=301)], "/v.whl": [s.full]},
        asked=[PATH, "/v.whl?sig=s3cret"],
    ),
    "signed-expired": Case(
        lambda s: {PATH: [s.moved("/v.whl?sig=s3cret", status=301)], "/v.whl": [Reply(404)]},
        "HTTP 404 Not Found",
        kind="missing",
        asked=[PATH, "/v.whl?sig=s3cret"],
    ),
    "loop": Case(lambda s: {PATH: [s.moved(PATH)]}, "redirects more than 10 times", asked=[PATH] * 11),
    "to-ftp": Case(lambda s: {PATH: [s.moved(to="ftp://127.0.0.1")]}, r"redirects from http to ftp://127\.0\.0\.1/.*"),
    "to-stalled-port": Case(
        lambda s: {PATH: [s.moved(to=s.other.url)], "other/v.whl": [Reply(stall="headers")]},
        r"no byte for 0\.5 s, 2 attempts",
        asked=[PATH] * 2,
        env={**STALL, "MODELBOOT_RETRIES": "1"},
        elsewhere=2,
    ),
    "resumed": Case(
        lambda s: {PATH: [s.moved()], "/v.whl": [s.cut, s.full]},
        asked=[PATH, "/v.whl", AGAIN, f"/v.whl from {CUT}"],
    ),
}
RETRIED = {
    "500-once": Case(by_name(Reply(500), "full"), asked=[PATH] * 2),
    "500-always": Case(answers(Reply(500)), "HTTP 500 Internal Server Error, 5 attempts", asked=[PATH] * 5),
    "500-no-retries": Case(answers(Reply(500)), "HTTP 500 Internal Server Error", env={"MODELBOOT_RETRIES": "0"}),
    "503-503-200": Case(by_name(Reply(503), Reply(503), "full"), asked=[PATH] * 3),
    "429-seconds": Case(by_name(Reply(429, {"Retry-After": "1"}), "full"), asked=[PATH] * 2, least_s=1.0),
    "429-date": Case(lambda s: {PATH: [Reply(429, {"Retry-After": in_s(2)}), s.full]}, asked=[PATH] * 2, least_s=0.9),
    "429-day": Case(
        by_name(Reply(429, {"Retry-After": "86400"}), "full"),
        "HTTP 429 Too Many Requests, asked to wait 86400 s",
        within_s=2.0,
    ),
    "503-tomorrow": Case(
        lambda s: {PATH: [Reply(503, {"Retry-After": in_s(86400)}), s.full]},
        r"HTTP 503 Service Unavailable, asked to wait 86(400|39\d) s",
        within_s=2.0,
    ),
    "stall-before-headers": Case(by_name(Reply(stall="headers"), "full"), asked=[PATH] * 2, env=STALL),
    "stall-always": Case(
        answers(Reply(stall="headers")),
        r"no byte for 0\.5 s, 3 attempts",
        asked=[PATH] * 3,
        env={**STALL, "MODELBOOT_RETRIES": "2"},
    ),
    "pauses": Case(by_name(Reply(500), Reply(500), "full"), asked=[PATH] * 3, least_s=0.75, real_pauses=True),
    "pause-beyond-deadline": Case(
        answers(Reply(500)),
        "HTTP 500 Internal Server Error",
        env={"MODELBOOT_DEADLINE": "0.2"},
        within_s=2.0,
        real_pauses=True,
    ),
}
RESUMED = {
    "cut-once": Case(by_name("cut", "full"), asked=[PATH, AGAIN]),
    "cut-every-time": Case(by_name("cut"), asked=[PATH, *(f"{PATH} from {CUT * n}" for n in (1, 2, 3))]),
    "cut-too-often": Case(
        lambda s: {PATH: [Reply(headers={"ETag": ETAG}, body=s.wheel, ranged=True, cut_after_bytes=100_000)]},
        r"cut short: 500,000 of 1,\d{3},\d{3} bytes received, 5 attempts",
        asked=[PATH, *(f"{PATH} from {n}00000" for n in (1, 2, 3, 4))],
        kind="short",
    ),
    "cut-chunks": Case(
        lambda s: {PATH: [Reply(headers={"ETag": ETAG}, body=s.wheel, chunked=True, cut_after_bytes=CUT), s.full]},
        asked=[PATH, AGAIN],
    ),
    "cut-gzip": Case(
        lambda s: {
            PATH: [
                Reply(headers={"Content-Encoding": "gzip"}, body=gzip.compress(s.wheel), cut_after_bytes=CUT),
                s.full,
            ]
        },
        COMPRESSED,
    ),
    "reset-in-body": Case(
        lambda s: {PATH: [Reply(headers={"ETag": ETAG}, body=s.wheel, cut_after_bytes=CUT, reset=True), s.full]},
        asked=[PATH, f"{PATH} from ?"],
    ),
    "stall-in-body": Case(
        lambda s: {PATH: [Reply(headers={"ETag": ETAG}, body=s.wheel, cut_after_bytes=CUT, stall="body"), s.full]},
        asked=[PATH, f"{PATH} from ?"],
        env=STALL,
    ),
    "wrong-content-range": Case(
        by_name("cut", Reply(206, {"Content-Range": "bytes 7-9/999"}, b"xyz"), "full"), asked=[PATH, AGAIN, PATH]
    ),
    "no-content-range": Case(by_name("cut", Reply(206, {}, b"xyz"), "full"), asked=[PATH, AGAIN, PATH]),
    "416": Case(by_name("cut", Reply(416), "full"), asked=[PATH, AGAIN, PATH]),
    "416-no-retries": Case(
        by_name("cut", Reply(416), "full"), asked=[PATH, AGAIN, PATH], env={"MODELBOOT_RETRIES": "1"}
    ),
    "changed-etag": Case(
        lambda s: {PATH: [s.cut, Reply(headers={"ETag": '"two"'}, body=s.wheel, ranged=True)]}, asked=[PATH, AGAIN]
    ),
    "changed-file": Case(
        lambda s: {PATH: [Reply(headers={"ETag": '"two"'}, body=s.altered, ranged=True, cut_after_bytes=CUT), s.full]},
        asked=[PATH, AGAIN],
    ),
    "range-ignored": Case(lambda s: {PATH: [s.cut, Reply(body=s.wheel)]}, asked=[PATH, AGAIN]),
    "resumed-mismatch": Case(
        lambda s: {PATH: [Reply(body=s.altered, cut_after_bytes=CUT), s.full, s.full]}, asked=[PATH, AGAIN, PATH]
    ),
    "resumed-mismatch-twice": Case(
        lambda s: {PATH: [s.cut, Reply(headers={"ETag": ETAG}, body=s.wheel + b"x", ranged=True)]},
        OTHER_BYTES,
        asked=[PATH, AGAIN, PATH],
        kind="bytes",
    ),
    "page-after-cut": Case(
        by_name("cut", Reply(headers={"Content-Type": "text/html"}, body=HTML)),
        r"received an HTML page instead of the wheel \(text/html\)",
        asked=[PATH, AGAIN],
        kind="page",
    ),
}
DEADLINES = {
    "drip": Case(
        lambda s: {PATH: [Reply(body=s.wheel, drip_bytes_per_s=2000)]},
        "deadline of 1 s passed",
        env={"MODELBOOT_DEADLINE": "1"},
        within_s=4.0,
    ),
    "endless-drip": Case(
        answers(Reply(body=b"PK", endless=True, drip_bytes_per_s=2000)),
        "deadline of 1 s passed",
        env={"MODELBOOT_DEADLINE": "1"},
        within_s=4.0,
    ),
    "stall": Case(
        answers(Reply(stall="headers")), "deadline of 1 s passed", env={"MODELBOOT_DEADLINE": "1"}, within_s=4.0
    ),
}
CASES = {**DIRECT, **REDIRECTS, **RETRIED, **RESUMED, **DEADLINES}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of 1 MB, which takes several reads to receive."""
    return large_wheel(tmp_path_factory.mktemp("large"))


@pytest.fixture
def pin(wheel: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return its pin, at a URL of the server."""
    return replace(wheel.pin_at(f"{server.url}{PATH}"), size_mb=1)


@pytest.fixture
def replies(wheel: BuiltWheel, other_server: ModelServer) -> Replies:
    """Return what the servers answer with."""
    return Replies(wheel.content, other_server)


@pytest.fixture
def strangers(target: Path) -> Path:
    """Put a package of somebody else's into the target."""
    (target / "other").mkdir(parents=True)
    (target / "other" / "__init__.py").write_bytes(b"x = 1\n")
    return target


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """List every archive that is opened."""
    archives: list[object] = []
    begin = zipfile.ZipFile.__init__

    def noted(self: zipfile.ZipFile, file: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever is given
        archives.append(file)
        begin(self, file, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "__init__", noted)
    return archives


def as_told(request: Request) -> str:
    """Word a request as the table does."""
    asked = request.headers.get("Range")
    return request.path + (f" from {asked.removeprefix('bytes=').removesuffix('-')}" if asked else "")


def assert_asked(case: Case, server: ModelServer, other: ModelServer) -> None:
    """See that the requests are those of the row, with the headers each must have."""
    told = [as_told(request) for request in server.requests]
    assert len(told) == len(case.asked), told
    for got, wanted in zip(told, case.asked, strict=True):
        # "?": nobody knows how much of what was under way has come, if any.
        pattern = re.escape(wanted).replace(r"\ from\ \?", r"( from \d+)?")
        assert re.fullmatch(pattern, got), told
    assert len(other.requests) == case.elsewhere
    for request in [*server.requests, *other.requests]:
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Authorization" not in request.headers


def play(case: Case, server: ModelServer, replies: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up the row's servers and settings."""
    if not case.real_pauses:
        monkeypatch.setattr(_retry, "FIRST_DELAY_S", 0.01)
    for path, scripted in case.replies(replies).items():
        if path.startswith("other"):
            replies.other.serve(path.removeprefix("other"), *scripted)
        else:
            server.serve(path, *scripted)
    for variable, value in case.env.items():
        monkeypatch.setenv(variable, value)


@contextmanager
def timed(case: Case) -> Iterator[None]:
    """See that what is done inside takes neither too long nor too short."""
    began_s = time.monotonic()
    yield
    took_s = time.monotonic() - began_s
    assert case.least_s <= took_s < case.within_s


def rows(*, good: bool) -> pytest.MarkDecorator:
    """Give the rows that end well, or the others."""
    chosen = {name: case for name, case in CASES.items() if (case.reason is None) is good}
    return pytest.mark.parametrize("case", chosen.values(), ids=chosen.keys())


@rows(good=True)
def test_network_fault_mended(  # noqa: PLR0913, PLR0917 - fixtures
    case: Case,
    pin: ModelPin,
    server: ModelServer,
    replies: Replies,
    strangers: Path,
    opened: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pinned wheel is installed whole, for the requests and within the seconds of the row; nothing else is left."""
    play(case, server, replies, monkeypatch)
    with timed(case):
        model = ensure_model(pin, target=strangers)
    assert (model.source, model.sha256) == ("release", pin.sha256)
    assert len((strangers / NAME / "vectors.bin").read_bytes()) == 1_000_000
    assert opened  # so the rows that fail would show it
    assert_asked(case, server, replies.other)
    assert not parts_below(strangers)
    assert not threads_left()


@rows(good=False)
def test_network_fault_told(  # noqa: PLR0913, PLR0917 - fixtures
    case: Case,
    pin: ModelPin,
    server: ModelServer,
    replies: Replies,
    strangers: Path,
    opened: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error says why; no archive was opened, the target is as it was, and no thread is left."""
    play(case, server, replies, monkeypatch)
    before = snapshot(strangers, without=())
    with timed(case), pytest.raises(DownloadError, match=rf"{NAME} {re.escape(VERSION)}") as failed:
        ensure_model(pin, target=strangers)
    assert snapshot(strangers, without=()) == before
    assert not opened
    assert_told(failed.value, case)
    assert_asked(case, server, replies.other)
    assert not threads_left()


def assert_told(error: DownloadError, case: Case) -> None:
    """See that an error is the row's."""
    (attempt,) = error.attempts
    assert re.fullmatch(str(case.reason), attempt.reason)
    assert (attempt.source, attempt.kind) == ("release", case.kind)
    assert isinstance(error, HashMismatchError) is (case.kind == "bytes")
    assert attempt.where.startswith("http://127.0.0.1:")
    assert "s3cret" not in str(error)


def test_network_fault_other_bytes(server: ModelServer, replies: Replies, pin: ModelPin, target: Path) -> None:
    """Other bytes are told with both digests, both the size and the type, and where they came from in the end."""
    server.serve(PATH, replies.moved("/v.whl?sig=s3cret"))
    server.serve("/v.whl", Reply(headers={"Content-Type": "application/zip"}, body=replies.altered))
    with pytest.raises(HashMismatchError, match=rf"expected sha256 {pin.sha256}") as refused:
        ensure_model(pin, target=target)
    got = hashlib.sha256(replies.altered).hexdigest()
    told = f"release ({server.url}/v.whl): got sha256 {got} in {len(replies.wheel):,} bytes of application/zip"
    assert refused.value.message.endswith(told)


def test_network_fault_reads_no_further_than_the_cap(
    server: ModelServer, pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a body without end no more is read than the cap and one byte, beside the headers."""
    read_bytes = 0
    read = socket.SocketIO.readinto

    def counted(self: socket.SocketIO, buffer: Any) -> int | None:  # noqa: ANN401 - as inherited
        nonlocal read_bytes
        count = read(self, buffer)
        if threading.current_thread() is threading.main_thread():  # the server has threads of its own
            read_bytes += count or 0
        return count

    monkeypatch.setattr(socket.SocketIO, "readinto", counted)
    server.serve(PATH, Reply(body=b"PK", endless=True))
    with pytest.raises(DownloadError, match="sends more than"):
        ensure_model(pin, target=target)
    assert CAP < read_bytes <= CAP + (1 << 14)


def closed_port() -> str:
    """Give the URL of a port nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_network_fault_refused_port(wheel: BuiltWheel, target: Path) -> None:
    """A host that refuses connections is given up within 5 s after three tries, whatever the retries."""
    pin = wheel.pin_at(f"{closed_port()}{PATH}")
    case = Case(answers(), "Connection refused, 3 attempts", least_s=0.75)
    with timed(case), pytest.raises(DownloadError, match="Connection refused, 3 attempts") as failed:
        ensure_model(pin, target=target)
    assert_told(failed.value, case)
    assert not target.exists()


def test_network_fault_dead_addresses(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of four addresses that take no connection is given up within 10 s, also where nobody set a timeout."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, ExitStack() as stack:
        for _ in range(4):  # the kernel drops what comes once the queue is full
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        dead = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())] * 4
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: dead)
        pin = ModelPin(NAME, VERSION, "0" * 64, url=f"http://dead.invalid{PATH}")
        case = Case(answers(), "no connection within 8 s", least_s=7.5, within_s=10.0)
        with timed(case), pytest.raises(DownloadError, match="no connection within 8 s"):
            ensure_model(pin)
    assert not target.exists()
    assert not threads_left()


def test_network_fault_first_address_dead(mirror: ModelServer, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that takes no connection leaves time for the next one."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        places = [full.getsockname(), ("127.0.0.1", mirror.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setenv("MODELBOOT_TIMEOUT", "1")
        mirror.serve(PATH, Reply(404))
        with pytest.raises(DownloadError, match="HTTP 404"):
            ensure_model(pin)


def test_network_fault_proxy_drips_on_connect(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers CONNECT a byte at a time and never ends holds no call beyond the deadline."""
    left = threading.Event()

    def drip(proxy: socket.socket) -> None:
        with proxy.accept()[0] as client, suppress(OSError):
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not left.wait(0.05):
                client.sendall(b"x")

    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        thread = threading.Thread(target=drip, args=[proxy])
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("MODELBOOT_DEADLINE", "1")
        pin = ModelPin(NAME, VERSION, "0" * 64, url=f"https://mirror.invalid{PATH}")
        try:
            with (
                timed(Case(answers(), within_s=4.0, least_s=0.9)),
                pytest.raises(DownloadError, match="deadline of 1 s"),
            ):
                ensure_model(pin)
        finally:
            left.set()
            thread.join()
    assert not target.exists()
    assert not threads_left()


def test_network_fault_no_thread_can_start(
    pin: ModelPin, server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system allows no further thread, that is why the source failed."""

    def refused(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        with pytest.raises(DownloadError, match="can't start new thread: too many processes or threads"):
            ensure_model(pin)
    assert not server.requests
    assert not target.exists()


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("MODELBOOT_TIMEOUT", r"no answer from the DNS server for 127\.0\.0\.1 within 0\.5 s"),
        ("MODELBOOT_DEADLINE", r"deadline of 0\.5 s passed"),
    ],
    ids=["time-out", "deadline"],
)
def test_network_fault_name_server(  # noqa: PLR0913, PLR0917 - fixtures
    pin: ModelPin, server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch, variable: str, reason: str
) -> None:
    """A name server that does not answer holds a call no longer than time-out and deadline allow."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])
    monkeypatch.setenv(variable, "0.5")
    case = Case(answers(), reason, within_s=3.0, least_s=0.5)
    with timed(case), pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(pin, target=target)
    answered.set()
    assert_told(failed.value, case)
    assert not server.requests
    assert not target.exists()
    assert not threads_left()


class SlowChain(BaseHTTPRequestHandler):
    """Redirects for ever, taking its time."""

    leaving = threading.Event()

    def do_GET(self) -> None:
        """Redirect after a while."""
        self.leaving.wait(0.3)
        self.send_response_only(302)
        self.send_header("Location", f"/x{self.path}")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Keep quiet."""


class Ipv6Server(ThreadingHTTPServer):
    """A server on the IPv6 loopback address."""

    address_family = socket.AF_INET6


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Keep quiet."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    """Let a server answer for the length of a block; give its port."""
    thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_network_fault_slow_redirects(wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of redirects, each of them in time, is over by the deadline."""
    monkeypatch.setenv("MODELBOOT_DEADLINE", "1")
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.9")
    case = Case(answers(), "deadline of 1 s passed", within_s=4.0, least_s=1.0)
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), SlowChain)) as port:
        pin = wheel.pin_at(f"http://127.0.0.1:{port}/x.whl")
        with timed(case), pytest.raises(DownloadError, match=NAME) as failed:
            ensure_model(pin, target=target)
    assert_told(failed.value, case)
    assert not target.exists()
    assert not threads_left()


def test_network_ipv6(wheel: BuiltWheel, target: Path) -> None:
    """A server that has an IPv6 address only is asked there."""
    try:
        server = Ipv6Server(("::1", 0), functools.partial(Quiet, directory=str(wheel.path.parent)))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with serving(server) as port:
        pin = wheel.pin_at(f"http://[::1]:{port}/{wheel.path.name}")
        assert ensure_model(pin, target=target).source == "release"
