"""Whatever a server does wrong: the pinned wheel or an error in words, soon, and nothing left.

One table of scripted replies; every row is a whole `ensure_model` call over loopback. Below it are the faults of what
is no server of HTTP: name servers, addresses, handshakes.
"""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from modelboot import DownloadError, HashMismatchError, ModelPin, ensure_model
from modelboot._network import connections
from modelboot._network import retry as _retry
from support.folders import WORK, is_complete, leftovers, parts_below, snapshot
from support.interrupts import threads_left
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import Request

PATH, MOVED = "/w.whl", "/v.whl"
ETAG, ZIP = {"ETag": '"one"'}, {"Content-Type": "application/zip"}
CUT = 300_000
CAP = 3 * (1 << 20) * 5 // 4
"""Most bytes taken for a pin of 1 MB."""
HANGS_S = 60.0
"""A call that takes longer is held by what it talks to."""
HTML = Reply(headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html><title>Sign in</title>")
BOMB = gzip.compress(gzip.compress(bytes(1 << 26)))
"""A few hundred bytes of 64 MiB: a client that expands what it was not to be sent has no limit to hold on to."""
STALL = {"MODELBOOT_TIMEOUT": "0.5"}
DEADLINE, DEADLINE_PASSED = {"MODELBOOT_DEADLINE": "0.3"}, r"deadline of 0\.3 s passed"


@dataclass(frozen=True)
class Servers:
    """The servers of a row, and what they answer with: the wheel, or part of it, and redirects to another server."""

    built: BuiltWheel
    server: ModelServer
    other: ModelServer

    @property
    def pin(self) -> ModelPin:
        """The wheel's pin, at a URL of the first server."""
        return replace(self.built.pin_at(f"{self.server.url}{PATH}"), size_mb=1)

    @property
    def wheel(self) -> bytes:
        """The bytes of the wheel."""
        return self.built.content

    @property
    def altered(self) -> bytes:
        """The wheel with one byte altered, among the first that are sent."""
        return self.wheel[:1000] + bytes([self.wheel[1000] ^ 1]) + self.wheel[1001:]

    @property
    def full(self) -> Reply:
        """The wheel, from a server that can resume."""
        return Reply(headers=ETAG, body=self.wheel, ranged=True)

    @property
    def cut(self) -> Reply:
        """The wheel from where it is asked, cut after some bytes."""
        return replace(self.full, cut_after_bytes=CUT)

    def moved(self, path: str = MOVED, *, to: str = "") -> Reply:
        """A redirect, to the same server or to another place."""
        return Reply(302, {"Location": f"{to}{path}"})


@dataclass(frozen=True)
class Case:
    """One row: what is answered, and what comes of it.

    Attributes:
        replies: What each path is answered, in turn; a path that starts with "other" is the other server's.
        reason: Why it fails, whole, as a pattern; None when the wheel is got.
        asked: Every request of the first server: its path, from where it resumes, and of which file.
        env: Settings beside the defaults.
        kind: What the failure is told to be.
        size_mb: What the pin says of the size.
        elsewhere: Requests of the other server.
        least_s: Seconds the call must take at least.
    """

    replies: Callable[[Servers], Mapping[str, Sequence[Reply]]]
    reason: str | None = None
    asked: Sequence[str] = (PATH,)
    env: Mapping[str, str] = field(default_factory=dict)
    kind: str = "other"
    size_mb: int | None = 1
    elsewhere: int = 0
    least_s: float = 0.0


def answers(*replies: Reply | str) -> Callable[[Servers], Mapping[str, Sequence[Reply]]]:
    """Answer the wheel's path with these replies, or those of `Servers` by their names."""
    return lambda s: {PATH: [getattr(s, reply) if isinstance(reply, str) else reply for reply in replies]}


def resumes(start: int = CUT, etag: str | None = '"one"', path: str = PATH) -> str:
    """Word the request for the rest of a file as the table does."""
    return f"{path} from {start}" + (f" of {etag}" if etag else "")


OTHER_BYTES = r"got sha256 [0-9a-f]{64} in [\d,]+ bytes"
PAGE = r"received an HTML page instead of the wheel \(text/html\)"
TOO_MUCH = "sends more than the 3,932,160 bytes expected"
DIRECT = {
    "ok": Case(answers("full")),
    "chunked": Case(lambda s: {PATH: [Reply(body=s.wheel, chunked=True)]}),
    "gzip-twice": Case(
        answers(Reply(headers={"Content-Encoding": "gzip, gzip"}, body=BOMB)),
        r"sends the file compressed \(gzip, gzip\), although asked not to",
    ),
    "404": Case(answers(Reply(404)), "HTTP 404 Not Found", kind="missing"),
    "altered": Case(
        lambda s: {PATH: [s.moved("/v.whl?sig=s3cret")], MOVED: [Reply(headers=ZIP, body=s.altered)]},
        f"{OTHER_BYTES} of application/zip",
        asked=[PATH, "/v.whl?sig=s3cret"],
        kind="bytes",
    ),
    "declares-more": Case(
        answers(Reply(declared_length=CAP + 1)), "declares 3,932,161 bytes, more than the 3,932,160 expected"
    ),
    "declares-more-than-any": Case(
        answers(Reply(declared_length=(4 << 30) + 1)),
        "declares 4,294,967,297 bytes, more than the 4,294,967,296 expected",
        size_mb=None,
    ),
    "chunks-to-the-cap": Case(answers(Reply(body=b"PK" * (CAP // 2), chunked=True)), OTHER_BYTES, kind="bytes"),
    "chunks-beyond-the-cap": Case(answers(Reply(body=b"PK" * (CAP // 2) + b"x", chunked=True)), TOO_MUCH),
    "endless": Case(answers(Reply(body=b"PK", endless=True)), TOO_MUCH),
    "page": Case(answers(HTML), PAGE, kind="page"),
}
REDIRECTS = {
    "same-host": Case(lambda s: {PATH: [s.moved()], MOVED: [s.full]}, asked=[PATH, MOVED]),
    "other-host": Case(
        lambda s: {PATH: [s.moved(to=f"http://localhost:{s.other.port}")], f"other{MOVED}": [s.full]}, elsewhere=1
    ),
    "nowhere": Case(answers(Reply(302)), "HTTP 302 Found"),
    "loop": Case(lambda s: {PATH: [s.moved(PATH)]}, "redirects more than 10 times", asked=[PATH] * 11),
    "to-ftp": Case(lambda s: {PATH: [s.moved(to="ftp://127.0.0.1")]}, r"redirects from http to ftp://127\.0\.0\.1/.*"),
    "to-stalled-port": Case(
        lambda s: {PATH: [s.moved(to=s.other.url)], f"other{MOVED}": [Reply(stall="headers")]},
        r"no byte for 0\.5 s",
        env={**STALL, "MODELBOOT_RETRIES": "0"},
        elsewhere=1,
    ),
    "resumed": Case(
        lambda s: {PATH: [s.moved()], MOVED: [s.cut, s.full]}, asked=[PATH, MOVED, resumes(), resumes(path=MOVED)]
    ),
}
RETRIED = {
    "500-once": Case(answers(Reply(500), "full"), asked=[PATH] * 2),
    "500-always": Case(answers(Reply(500)), "HTTP 500 Internal Server Error, 5 attempts", asked=[PATH] * 5),
    "500-no-retries": Case(answers(Reply(500)), "HTTP 500 Internal Server Error", env={"MODELBOOT_RETRIES": "0"}),
    "429-second": Case(answers(Reply(429, {"Retry-After": "1"}), "full"), asked=[PATH] * 2, least_s=1.0),
    "429-day": Case(
        answers(Reply(429, {"Retry-After": "86400"}), "full"), "HTTP 429 Too Many Requests, asked to wait 86400 s"
    ),
    "no-answer": Case(answers(Reply(0), "full"), asked=[PATH] * 2),
    "stall": Case(answers(Reply(stall="headers"), "full"), asked=[PATH] * 2, env=STALL),
}
RESUMED = {
    "cut-once": Case(answers("cut", "full"), asked=[PATH, resumes()]),
    "cut-every-time": Case(answers("cut"), asked=[PATH, *(resumes(CUT * n) for n in (1, 2, 3))]),
    "cut-too-often": Case(
        lambda s: {PATH: [replace(s.full, cut_after_bytes=100_000)]},
        r"cut short: 500,000 of 1,\d{3},\d{3} bytes received, 5 attempts",
        asked=[PATH, *(resumes(100_000 * n) for n in (1, 2, 3, 4))],
        kind="short",
    ),
    "cut-chunks": Case(lambda s: {PATH: [replace(s.cut, ranged=False, chunked=True), s.full]}, asked=[PATH, resumes()]),
    "reset": Case(lambda s: {PATH: [replace(s.cut, reset=True), s.full]}, asked=[PATH, f"{PATH} from ?"]),
    "stall-in-body": Case(
        lambda s: {PATH: [replace(s.cut, stall="body"), s.full]}, asked=[PATH, f"{PATH} from ?"], env=STALL
    ),
    "wrong-range": Case(
        answers("cut", Reply(206, {"Content-Range": "bytes 7-9/999"}, b"xyz"), "full"), asked=[PATH, resumes(), PATH]
    ),
    "416-no-retries": Case(
        answers("cut", Reply(416), "full"), asked=[PATH, resumes(), PATH], env={"MODELBOOT_RETRIES": "1"}
    ),
    "changed-file": Case(
        lambda s: {PATH: [replace(s.cut, headers={"ETag": '"two"'}, body=s.altered), s.full]},
        asked=[PATH, resumes(etag='"two"')],
    ),
    "range-ignored": Case(
        lambda s: {PATH: [s.cut, Reply(body=s.wheel, cut_after_bytes=CUT), s.full]},
        asked=[PATH, resumes(), resumes(etag=None)],
    ),
    "mismatch": Case(
        lambda s: {PATH: [Reply(body=s.altered, cut_after_bytes=CUT), s.full, s.full]},
        asked=[PATH, resumes(etag=None), PATH],
    ),
    "mismatch-twice": Case(
        lambda s: {PATH: [s.cut, replace(s.full, body=s.wheel + b"x")] * 2},
        OTHER_BYTES,
        asked=[PATH, resumes(), PATH, resumes()],
        kind="bytes",
    ),
    "page-after-cut": Case(answers("cut", HTML), PAGE, asked=[PATH, resumes()], kind="page"),
}
DEADLINES = {
    "drip": Case(lambda s: {PATH: [Reply(body=s.wheel, drip_bytes_per_s=2000)]}, DEADLINE_PASSED, env=DEADLINE),
    "late-headers": Case(answers(Reply(stall="headers")), DEADLINE_PASSED, env=DEADLINE),
    "late-body": Case(answers(Reply(body=b"PK" * 9, stall="body")), DEADLINE_PASSED, env=DEADLINE),
    "late-after-redirect": Case(
        lambda s: {PATH: [s.moved(to=s.other.url)], f"other{MOVED}": [Reply(stall="headers")]},
        DEADLINE_PASSED,
        env=DEADLINE,
        elsewhere=1,
    ),
}
CASES = {**DIRECT, **REDIRECTS, **RETRIED, **RESUMED, **DEADLINES}
MENDED = {name: case for name, case in CASES.items() if case.reason is None}
TOLD = {name: case for name, case in CASES.items() if case.reason is not None}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make pauses between attempts short; see that no call is held, and that no thread is left behind."""
    monkeypatch.setattr(_retry, "FIRST_DELAY_S", 0.01)
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < HANGS_S
    assert not threads_left()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of 1 MB, which takes several reads to receive."""
    return large_wheel(tmp_path_factory.mktemp("large"))


@pytest.fixture
def servers(wheel: BuiltWheel, server: ModelServer, other_server: ModelServer) -> Servers:
    """Return the servers, which answer nothing yet."""
    return Servers(wheel, server, other_server)


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


def play(case: Case, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up the row's servers and settings."""
    for path, scripted in case.replies(servers).items():
        place = servers.other if path.startswith("other") else servers.server
        place.serve(path.removeprefix("other"), *scripted)
    for variable, value in case.env.items():
        monkeypatch.setenv(variable, value)


def as_told(request: Request) -> str:
    """Word a request as the table does."""
    start = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
    return resumes(int(start), request.headers.get("If-Range"), request.path) if start else request.path


def assert_asked(case: Case, servers: Servers) -> None:
    """See that the requests are those of the row, with the headers each must have."""
    told, elsewhere = [as_told(request) for request in servers.server.requests], len(servers.other.requests)
    for got, wanted in zip(told, case.asked, strict=False):
        # "?": nobody knows how much of what was under way has come, if any.
        assert got == wanted or (wanted.endswith("?") and got.startswith(wanted[: -len(" from ?")])), told
    if case.env is DEADLINE:  # it may pass before anything is asked
        assert len(told) + elsewhere <= len(case.asked) + case.elsewhere
    elif case.env is STALL:  # on a busy machine further attempts may time out
        assert len(told) >= len(case.asked)
    else:
        assert (len(told), elsewhere) == (len(case.asked), case.elsewhere), told
    for request in [*servers.server.requests, *servers.other.requests]:
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Authorization" not in request.headers


@pytest.mark.parametrize("case", MENDED.values(), ids=MENDED.keys())
def test_network_fault_mended(
    case: Case, servers: Servers, strangers: Path, opened: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pinned wheel is installed whole, for the requests of the row; nothing else is left."""
    play(case, servers, monkeypatch)
    began_s = time.monotonic()
    model = ensure_model(servers.pin, target=strangers)
    assert time.monotonic() - began_s >= case.least_s
    assert (model.source, model.sha256) == ("release", servers.pin.sha256)
    assert is_complete(strangers, servers.pin)
    assert opened  # so the rows that fail would show it
    assert_asked(case, servers)
    assert not parts_below(strangers)


@pytest.mark.parametrize("case", TOLD.values(), ids=TOLD.keys())
def test_network_fault_told(
    case: Case, servers: Servers, strangers: Path, opened: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why and where; no archive was opened, and the target is as it was."""
    play(case, servers, monkeypatch)
    before = snapshot(strangers, without={WORK})
    with pytest.raises(DownloadError, match=rf"{NAME} {re.escape(VERSION)}") as failed:
        ensure_model(replace(servers.pin, size_mb=case.size_mb), target=strangers)
    assert snapshot(strangers, without={WORK}) == before
    assert not parts_below(strangers)
    assert not opened
    assert_asked(case, servers)
    (attempt,) = failed.value.attempts
    assert re.fullmatch(str(case.reason), attempt.reason)
    assert (attempt.source, attempt.kind) == ("release", case.kind)
    assert isinstance(failed.value, HashMismatchError) is (case.kind == "bytes")
    assert (f"expected sha256 {servers.pin.sha256}" in failed.value.message) is (case.kind == "bytes")
    assert failed.value.message.endswith(f"release ({attempt.where}): {attempt.reason}")
    if case.env is not DEADLINE:
        last = servers.other if case.elsewhere else servers.server
        assert attempt.where == f"{last.url}{urlsplit(last.requests[-1].path).path}"


def assert_fails(pin: ModelPin, target: Path, reason: str) -> None:
    """See a call fail for a reason, and leave nothing."""
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(pin, target=target)
    assert [attempt.reason for attempt in failed.value.attempts] == [reason]
    assert leftovers(target) == []


def nowhere(scheme: str = "http") -> ModelPin:
    """Return a pin at a host that there is not."""
    return ModelPin(NAME, VERSION, "0" * 64, url=f"{scheme}://release.invalid{PATH}")


def lead_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Make every name lead to these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.fixture
def dead() -> Iterator[tuple[str, int]]:
    """Return an address that takes no connection: its queue is full, so the kernel drops what comes."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


SHORTENED = pytest.mark.parametrize(
    "share", [0.05, pytest.param(1.0, marks=pytest.mark.exhaustive)], ids=["shortened", "real"]
)
"""How much of the longest wait is waited; at the settings of somebody who has set none it is some seconds."""


@SHORTENED
def test_dead_addresses_are_given_up(
    dead: tuple[str, int], target: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """All addresses of a host that take no connection cost 8 s between them, though the time-out is 30 s."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", share * connections.CONNECT_TIMEOUT_S)
    lead_to(monkeypatch, *[dead] * 4)
    assert_fails(nowhere(), target, f"no connection within {share * 8:g} s")


@SHORTENED
def test_silent_name_server_is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """A name server that does not answer costs 6 s, though the time-out is 30 s."""
    ended = threading.Event()
    monkeypatch.setattr(connections, "DNS_TIMEOUT_S", share * connections.DNS_TIMEOUT_S)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(HANGS_S) and [])
    assert_fails(nowhere(), target, f"no answer from the DNS server for release.invalid within {share * 6:g} s")
    ended.set()


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("MODELBOOT_TIMEOUT", "no answer from the DNS server for 127.0.0.1 within 0.3 s"),
        ("MODELBOOT_DEADLINE", "deadline of 0.3 s passed"),
    ],
)
def test_slow_name_server(
    servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch, variable: str, reason: str
) -> None:
    """A name server is waited for no longer than time-out and deadline allow; what it says later is not used."""
    answered, look_up = threading.Event(), socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it is asked
        answered.wait(HANGS_S)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setenv(variable, "0.3")
    assert_fails(servers.pin, target, reason)
    answered.set()
    assert not threads_left()
    assert not servers.server.requests


def test_dead_address_leaves_time_for_the_next(
    dead: tuple[str, int], server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is asked at its second address where the first takes no connection."""
    lead_to(monkeypatch, dead, ("127.0.0.1", server.port))
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.4)
    assert_fails(nowhere(), target, "HTTP 404 Not Found")


def test_refused_port(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that refuses connections is asked three times, whatever the retries."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        lead_to(monkeypatch, taken.getsockname())
        assert_fails(nowhere(), target, "Connection refused, 3 attempts")


def drip(client: socket.socket, left: threading.Event) -> None:
    """Answer a byte at a time, and never end."""
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while not left.wait(0.02):
        client.sendall(b"x")


def say_nothing(_: socket.socket, left: threading.Event) -> None:
    """Accept, and answer nothing."""
    left.wait()


@pytest.mark.parametrize(("place", "peer"), [("host", say_nothing), ("proxy", drip)])
def test_handshake_ends_by_the_deadline(
    target: Path, monkeypatch: pytest.MonkeyPatch, place: str, peer: Callable[[socket.socket, threading.Event], None]
) -> None:
    """Neither a host that never ends the TLS handshake nor a proxy that never opens a tunnel holds a call for long."""
    left = threading.Event()

    def serve(listening: socket.socket) -> None:
        with suppress(OSError), listening.accept()[0] as client:
            peer(client, left)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        if place == "proxy":
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
        else:
            lead_to(monkeypatch, listening.getsockname())
        monkeypatch.setenv("MODELBOOT_DEADLINE", "0.3")
        try:
            assert_fails(nowhere("https"), target, "deadline of 0.3 s passed")
        finally:
            left.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_no_thread_can_start(servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no further thread, that is why the source failed."""

    def refused(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        assert_fails(servers.pin, target, "can't start new thread: too many processes or threads")
    assert not servers.server.requests


def test_ipv6(wheel: BuiltWheel, target: Path) -> None:
    """A server that has an IPv6 address only is asked there."""
    try:
        server = ModelServer("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        assert ensure_model(server.publish(wheel), target=target).source == "release"
