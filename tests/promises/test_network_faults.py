"""Whatever a server does wrong: the pinned wheel or an error in words, soon, and nothing left.

One table of scripted replies; every row is a whole `ensure_model` call over loopback. Below it are the faults of what
is not a server of HTTP: name servers, addresses, handshakes.
"""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from modelboot import DownloadError, HashMismatchError, ModelPin, ensure_model
from modelboot._network import connections
from modelboot._network import retry as _retry
from support.children import ENSURE, STUB_SPACY, pin_arguments, python
from support.folders import WORK, is_complete, leftovers, snapshot
from support.interrupts import threads_left
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import Request

PATH, MOVED = "/w.whl", "/v.whl"
ETAG, ZIP = {"ETag": '"one"'}, {"Content-Type": "application/zip"}
OTHER, TWO, CHUNKS = {"X-Checksum-Sha256": "0" * 64}, {"Content-Length": "5, 6"}, {"Transfer-Encoding": "chunked"}
CUT = 300_000
CAP = 3 * (1 << 20) * 5 // 4
"""Most bytes taken for a pin of 1 MB."""
HANGS_S = 60.0
"""A call that takes longer is held by what it talks to."""
HTML = Reply(headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html><title>Sign in</title>")
STALL = {"MODELBOOT_TIMEOUT": "0.5"}
ONCE = {"MODELBOOT_RETRIES": "0"}
DEADLINE = {"MODELBOOT_DEADLINE": "0.3", "MODELBOOT_TIMEOUT": "90"}


@dataclass(frozen=True)
class Servers:
    """The server of a row, and what it answers with: the wheel, or part of it, and redirects."""

    wheel: bytes
    pin: ModelPin
    server: ModelServer

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

    def moved(self, path: str = MOVED) -> Reply:
        """A redirect."""
        return Reply(302, {"Location": path})


@dataclass(frozen=True)
class Case:
    """One row: what is answered, and what comes of it.

    Attributes:
        replies: What each path is answered, in turn.
        reason: Why it fails, whole, as a pattern; None when the wheel is got.
        asked: Every request: its path, from where it resumes, and of which file; "*" where it is not known how much of
            what was under way has come.
        env: Settings beside the defaults.
        kind: What the failure is told to be.
        size_mb: What the pin says of the size.
        least_s: Seconds the call must take at least.
    """

    replies: Callable[[Servers], Mapping[str, Sequence[Reply]]]
    reason: str | None = None
    asked: Sequence[str] = (PATH,)
    env: Mapping[str, str] = field(default_factory=dict)
    kind: str = "other"
    size_mb: int | None = 1
    least_s: float = 0.0


def answers(*replies: Reply | str) -> Callable[[Servers], Mapping[str, Sequence[Reply]]]:
    """Answer the wheel's path with these replies, or those of `Servers` by their names."""
    return lambda s: {PATH: [getattr(s, reply) if isinstance(reply, str) else reply for reply in replies]}


def resumes(start: int = CUT, etag: str | None = '"one"', path: str = PATH) -> str:
    """Word the request for the rest of a file as the table does."""
    return f"{path} from {start}" + (f" of {etag}" if etag else "")


OTHER_BYTES = r"got sha256 [0-9a-f]{64} in [\d,]+ bytes"
TOO_MUCH = "sends more than the 3,932,160 bytes expected"
CASES = {
    # one answer
    "ok": Case(answers("full")),
    "404": Case(answers(Reply(404)), "HTTP 404 Not Found", kind="missing"),
    "altered": Case(
        lambda s: {PATH: [s.moved("/v.whl?sig=s3cret")], MOVED: [Reply(headers=ZIP, body=s.altered)]},
        f"{OTHER_BYTES} of application/zip",
        asked=[PATH, "/v.whl?sig=s3cret"],
        kind="bytes",
    ),
    "nothing": Case(answers(Reply()), OTHER_BYTES, kind="bytes"),
    "nearly-a-page": Case(answers(Reply(body=b"P<")), OTHER_BYTES, kind="bytes"),
    "names-another-file": Case(lambda s: {PATH: [replace(s.full, headers=OTHER)]}),
    "names-another-file-and-is": Case(answers(Reply(headers=OTHER, body=b"PK")), OTHER_BYTES, kind="bytes"),
    "declares-too-much": Case(
        answers(Reply(declared_length=(4 << 30) + 1)),
        "declares 4,294,967,297 bytes, more than the 4,294,967,296 expected",
        size_mb=None,
    ),
    "chunks-to-the-cap": Case(answers(Reply(body=b"PK" * (CAP // 2), chunked=True)), OTHER_BYTES, kind="bytes"),
    "chunks-beyond-the-cap": Case(answers(Reply(body=b"PK" * (CAP // 2) + b"x", chunked=True)), TOO_MUCH),
    "not_a_wheel": Case(answers(HTML), r"received an HTML page instead of the wheel \(text/html\)", kind="not_a_wheel"),
    "status-of-four-digits": Case(answers(Reply(1000)), "HTTP/1.1 1000 *", env=ONCE),
    "two-lengths": Case(answers(Reply(headers=TWO, body=b"PK", endless=True)), "Content-Length contained .+", env=ONCE),
    # redirects
    "nowhere": Case(answers(Reply(302)), "HTTP 302 Found"),
    "loop": Case(lambda s: {PATH: [s.moved(PATH)]}, "redirects more than 10 times", asked=[PATH] * 11),
    "resumed": Case(
        lambda s: {PATH: [s.moved()], MOVED: [s.cut, s.full]}, asked=[PATH, MOVED, resumes(), resumes(path=MOVED)]
    ),
    # further attempts
    "500-once": Case(answers(Reply(500), "full"), asked=[PATH] * 2),
    "500-always": Case(answers(Reply(500)), "HTTP 500 Internal Server Error, 5 attempts", asked=[PATH] * 5),
    "429-second": Case(answers(Reply(429, {"Retry-After": "1"}), "full"), asked=[PATH] * 2, least_s=1.0),
    "429-day": Case(
        answers(Reply(429, {"Retry-After": "86400"}), "full"), "HTTP 429 Too Many Requests, asked to wait 86400 s"
    ),
    "no-answer": Case(answers(Reply(0), "full"), asked=[PATH] * 2),
    "stall": Case(answers(Reply(stall="headers"), "full"), asked=[PATH] * 2, env=STALL),
    # the rest of a file
    "cut-once": Case(answers("cut", "full"), asked=[PATH, resumes()]),
    "cut-too-often": Case(
        lambda s: {PATH: [replace(s.full, cut_after_bytes=100_000)]},
        r"cut short: 500,000 of 1,\d{3},\d{3} bytes received, 5 attempts",
        asked=[PATH, *(resumes(100_000 * n) for n in (1, 2, 3, 4))],
        kind="short",
    ),
    "cut-in-a-chunk": Case(
        answers(Reply(headers=CHUNKS, body=b"ff\r\nPK", declared_length=6)), "cut short", env=ONCE, kind="short"
    ),
    "cut-chunks": Case(lambda s: {PATH: [replace(s.cut, ranged=False, chunked=True), s.full]}, asked=[PATH, resumes()]),
    "reset": Case(lambda s: {PATH: [replace(s.cut, reset=True), s.full]}, asked=[PATH, f"{PATH}*"]),
    "stall-in-body": Case(
        lambda s: {PATH: [replace(s.cut, stall="body"), s.full]}, asked=[PATH, f"{PATH}*"], env=STALL
    ),
    "416-no-retries": Case(
        answers("cut", Reply(416), "full"), asked=[PATH, resumes(), PATH], env={"MODELBOOT_RETRIES": "1"}
    ),
    "changed-file": Case(
        lambda s: {PATH: [replace(s.cut, headers={"ETag": '"two"'}, body=s.altered), s.full]},
        asked=[PATH, resumes(etag='"two"')],
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
    # the deadline
    "drip": Case(
        lambda s: {PATH: [Reply(body=s.wheel, drip_bytes_per_s=2000)]}, r"deadline of 0\.3 s passed", env=DEADLINE
    ),
}
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
def servers(wheel: BuiltWheel, server: ModelServer) -> Servers:
    """Return the server, which answers nothing yet."""
    pin = replace(wheel.pin_at(f"{server.url}{PATH}"), size_mb=1)
    return Servers(wheel.content, pin, server)


def play(case: Case, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up the row's replies and settings."""
    for path, scripted in case.replies(servers).items():
        servers.server.serve(path, *scripted)
    for variable, value in case.env.items():
        monkeypatch.setenv(variable, value)


def as_told(request: Request) -> str:
    """Word a request as the table does."""
    start = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
    return resumes(int(start), request.headers.get("If-Range"), request.path) if start else request.path


def assert_asked(case: Case, servers: Servers) -> None:
    """See that the requests are those of the row."""
    told = [as_told(request) for request in servers.server.requests]
    for got, wanted in zip(told, case.asked, strict=False):
        assert fnmatchcase(got, wanted), told
    if case.env is DEADLINE:  # it may pass before anything is asked
        assert len(told) <= len(case.asked)
    elif case.env is STALL:  # on a busy machine further attempts may time out
        assert len(told) >= len(case.asked)
    else:
        assert len(told) == len(case.asked), told


@pytest.mark.parametrize("case", MENDED.values(), ids=MENDED.keys())
def test_network_fault_mended(case: Case, servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned wheel is installed whole, for the requests of the row; nothing else is left."""
    play(case, servers, monkeypatch)
    began_s = time.monotonic()
    model = ensure_model(servers.pin, target=target)
    assert time.monotonic() - began_s >= case.least_s
    assert (model.source, model.sha256) == ("release", servers.pin.sha256)
    assert is_complete(target, servers.pin)
    assert leftovers(target, servers.pin) == []
    assert_asked(case, servers)


@pytest.mark.parametrize("case", TOLD.values(), ids=TOLD.keys())
def test_network_fault_told(case: Case, servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says why and where; no archive was opened, and the target is as it was."""
    play(case, servers, monkeypatch)
    (target / "other").mkdir(parents=True)
    (target / "other" / "__init__.py").touch()
    before, opening = snapshot(target, without={WORK}), Mock()
    monkeypatch.setattr(zipfile.ZipFile, "__init__", opening)
    with pytest.raises(DownloadError, match=rf"{NAME} {re.escape(VERSION)}") as failed:
        ensure_model(replace(servers.pin, size_mb=case.size_mb), target=target)
    assert snapshot(target, without={WORK}) == before
    assert leftovers(target) == ["other"]
    opening.assert_not_called()
    assert_asked(case, servers)
    (attempt,) = failed.value.attempts
    assert re.fullmatch(str(case.reason), attempt.reason)
    assert (attempt.source, attempt.kind) == ("release", case.kind)
    assert isinstance(failed.value, HashMismatchError) is (case.kind == "bytes")
    assert (f"expected sha256 {servers.pin.sha256}" in failed.value.message) is (case.kind == "bytes")
    assert failed.value.message.endswith(f"release ({attempt.where}): {attempt.reason}")
    if case.env is not DEADLINE:
        assert attempt.where == f"{servers.server.url}{servers.server.requests[-1].bare_path}"


def assert_fails(pin: ModelPin, target: Path, reason: str) -> None:
    """See a call fail for a reason, and leave nothing."""
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(pin, target=target)
    told = (reason, "" if "threads" in reason else pin.url)
    assert [(attempt.reason, attempt.where) for attempt in failed.value.attempts] == [told]
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


LIMITS = pytest.mark.parametrize(
    ("env", "share"),
    [(STALL, 1.0), (DEADLINE, 10.0), ({}, 0.05), pytest.param({}, 1.0, marks=pytest.mark.exhaustive)],
)


def shorten(monkeypatch: pytest.MonkeyPatch, limit: str, env: dict[str, str], share: float) -> Callable[[str], str]:
    """Set variables, and a limit to a share of what it is; return what words the reason of who waited so long."""
    limit_s = share * getattr(connections, limit)
    monkeypatch.setattr(connections, limit, limit_s)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    least_s = min(limit_s, float(env.get("MODELBOOT_TIMEOUT", limit_s)))
    return lambda words: "deadline of 0.3 s passed" if env is DEADLINE else f"{words} within {least_s:g} s"


@LIMITS
def test_dead_addresses(
    dead: tuple[str, int], target: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], share: float
) -> None:
    """All addresses of a host that take no connection cost 8 s between them, less as time-out and deadline say."""
    told = shorten(monkeypatch, "CONNECT_TIMEOUT_S", env, share)
    lead_to(monkeypatch, *[dead] * 200)
    assert_fails(nowhere(), target, told("no connection"))


@LIMITS
def test_silent_name_server(
    servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], share: float
) -> None:
    """A name server that does not answer costs 6 s at most, less as time-out and deadline say; it is too late then."""
    told = shorten(monkeypatch, "DNS_TIMEOUT_S", env, share)
    answered, look_up = threading.Event(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: answered.wait(HANGS_S) and look_up(*args))
    assert_fails(servers.pin, target, told("no answer from the DNS server for 127.0.0.1"))
    answered.set()
    assert not threads_left()
    assert not servers.server.requests


SILENCE = "import socket, threading; socket.getaddrinfo = lambda *_, **__: threading.Event().wait()"


def test_silent_name_server_holds_no_program() -> None:
    """A program that has given up on a name server ends, though there is no answer yet."""
    done = python(SILENCE + ENSURE, *pin_arguments(nowhere()), env={**STUB_SPACY, **STALL})
    assert "no answer from the DNS server for release.invalid within 0.5 s" in done.stderr


def test_dead_address_leaves_time_for_the_next(
    dead: tuple[str, int], server: ModelServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is asked at its second address where the first takes no connection."""
    lead_to(monkeypatch, dead, ("127.0.0.1", server.port))
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.4)
    assert_fails(nowhere(), target, "HTTP 404 Not Found")


@pytest.mark.parametrize("silence", ["name server", "headers", "body"])
def test_time_limit_of_a_signal_handler(
    servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch, silence: str
) -> None:
    """A handler's TimeoutError, an OSError, comes out at once as it is: nothing is asked again or remembered.

    The handler may be a partial, and may have let go of the signal.
    """
    monkeypatch.setenv("MODELBOOT_DEADLINE", "10")
    limit, answered = TimeoutError("the caller's own"), threading.Event()

    def reached(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise limit

    servers.server.serve(PATH, replace(servers.cut, stall="body" if silence == "body" else "headers"))
    import_module("modelboot._network.client")
    before = signal.signal(signal.SIGALRM, partial(reached))
    with monkeypatch.context() as patched:
        if silence == "name server":
            patched.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(HANGS_S) and [])
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError) as caught:
            ensure_model(servers.pin, target=target)
    answered.set()
    signal.signal(signal.SIGALRM, before)
    assert caught.value is limit
    assert len(servers.server.requests) == (silence != "name server")
    servers.server.serve(PATH, servers.full)
    assert ensure_model(servers.pin, target=target).source == "release"


@pytest.mark.parametrize(("within_s", "proxy"), [(HANGS_S, ""), (0.0, ""), (HANGS_S, "http://proxy.invalid")])
def test_refused_port(target: Path, monkeypatch: pytest.MonkeyPatch, within_s: float, proxy: str) -> None:
    """A host that refuses connections is asked three times, whatever the retries, and once if it took its time."""
    monkeypatch.setattr(_retry, "RETRY_WITHIN_S", within_s)
    monkeypatch.setenv("http_proxy", proxy)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        lead_to(monkeypatch, taken.getsockname())
        reason = f"{'proxy: ' if proxy else ''}Connection refused{', 3 attempts' if within_s else ''}"
        assert_fails(nowhere(), target, reason)


@pytest.mark.parametrize(
    ("proxy", "env"), [("", DEADLINE), ("https_proxy", DEADLINE), ("", STALL | ONCE), ("http_proxy", STALL | ONCE)]
)
def test_silence_once_connected(target: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, env: dict[str, str]) -> None:
    """Neither a TLS handshake, a proxy's tunnel nor its answer that does not come holds a call beyond its limits."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        if proxy:
            monkeypatch.setenv(proxy, f"http://127.0.0.1:{silent.getsockname()[1]}")
        else:
            lead_to(monkeypatch, silent.getsockname())
        for variable, value in env.items():
            monkeypatch.setenv(variable, value)
        reason = "deadline of 0.3 s passed" if env is DEADLINE else "no byte for 0.5 s"
        assert_fails(nowhere(proxy.removesuffix("_proxy") or "https"), target, reason)


def test_no_thread_can_start(servers: Servers, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no further thread, that is why the source failed."""
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
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
