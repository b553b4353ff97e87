"""A URL becomes a verified file, or an error by the deadline with nothing left behind."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelboot._limits import Deadline, Limits
from modelboot._network import download as _download
from modelboot._network import retry as _retry
from modelboot._network.download import Download, download
from modelboot._network.response import RequestError
from modelboot._progress import Progress
from modelboot._settings import Settings
from modelboot._trust_env import TrustEnv
from modelboot.errors import InstallError, SettingsError
from support.children import public_folder, run_as_other_user, skip_unless_other_user
from support.interrupts import pressed, threads_left
from support.server import ModelServer, Reply

BODY = bytes(range(256)) * 1024
SHA256 = hashlib.sha256(BODY).hexdigest()
BELIEVABLE = 3 * (1 << 20) * 5 // 4
"""Most bytes taken for a pin of 1 MB."""
PATH = "/x.whl"


@dataclass
class Recorded:
    """A progress that keeps what it is told."""

    told: list[object] = field(default_factory=list)

    def ask(self, label: str, source: str) -> None:
        """Show who is asked."""

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        """Keep label and sizes."""
        self.told.append((label, total_bytes, present_bytes))

    def note(self, text: str) -> None:
        """Keep what is waited for."""
        self.told.append(text)

    def advance(self, downloaded_bytes: int) -> None:
        """Keep a figure."""
        self.told.append(downloaded_bytes)

    def close(self) -> None:
        """Keep the fact."""
        self.told.append("closed")


@dataclass(frozen=True)
class Destination:
    """A folder to download into, and the settings."""

    folder: Path
    settings: Settings

    @property
    def wheel(self) -> Path:
        """Where the wheel appears."""
        return self.folder / "pinned.whl"

    @property
    def part(self) -> Path:
        """Where it is until it is verified."""
        return self.folder / "pinned.whl.part"

    def with_settings(self, **settings: object) -> Destination:
        """Return the same destination under other settings."""
        return Destination(self.folder, self.settings._replace(**settings))  # type: ignore[arg-type]  # each test's own

    def wanted(
        self, progress: Progress, *, sha256: str = SHA256, size_mb: int | None = None, deadline_s: float = 30.0
    ) -> Download:
        """Say what is wanted, and by when."""
        timeout_s, retries = self.settings.timeout_s, self.settings.retries
        limits = Limits(timeout_s=timeout_s, retries=retries, deadline=Deadline.after(deadline_s))
        return Download(
            label="en_x 1.0.0", sha256=sha256, size_mb=size_mb, path=self.wheel, limits=limits, progress=progress
        )

    def fetch(
        self, url: str, *, sha256: str = SHA256, size_mb: int | None = None, deadline_s: float = 30.0
    ) -> tuple[int, list[object]]:
        """Download one URL; return the bytes received and what a progress was told."""
        progress = Recorded()
        wanted = self.wanted(progress, sha256=sha256, size_mb=size_mb, deadline_s=deadline_s)
        return download(url, wanted, self.settings.trust_env), progress.told

    def reason(self, url: str, *, size_mb: int | None = None, deadline_s: float = 30.0, kind: str = "other") -> str:
        """Have a URL fail, see that nothing is left of it, and return why."""
        reason = self.failure(url, size_mb=size_mb, deadline_s=deadline_s, kind=kind)
        self.assert_nothing_left()
        return reason

    def failure(self, url: str, *, size_mb: int | None = None, deadline_s: float = 30.0, kind: str = "other") -> str:
        """Have a URL fail and return why."""
        with pytest.raises(RequestError, match=r".") as failed:
            self.fetch(url, size_mb=size_mb, deadline_s=deadline_s)
        assert (failed.value.kind, failed.value.got_sha256) == (kind, None)
        return failed.value.reason

    def assert_nothing_left(self) -> None:
        """See that no file and no thread is left."""
        assert not threads_left()
        assert not [*self.folder.iterdir()]


@pytest.fixture
def destination(tmp_path: Path, settings: Settings) -> Destination:
    """Return an empty folder with a time-out of 30 s and no retries."""
    folder = tmp_path / "stage"
    folder.mkdir()
    return Destination(folder, settings._replace(timeout_s=30.0, retries=0))


def test_fetch_http(server: ModelServer, destination: Destination) -> None:
    """A wheel of the pinned hash is there under its name, alone, and a progress followed it to its end."""
    server.serve(PATH, Reply(body=BODY))
    received, told = destination.fetch(server.url + PATH)
    assert received == len(BODY)
    assert [*destination.folder.iterdir()] == [destination.wheel]
    assert destination.wheel.read_bytes() == BODY
    assert (told[0], told[-1]) == (("en_x 1.0.0", len(BODY), 0), "closed")
    assert sum(figure for figure in told if isinstance(figure, int)) == len(BODY)


def test_fetch_chunked(server: ModelServer, destination: Destination) -> None:
    """A body of unknown length is taken."""
    server.serve(PATH, Reply(body=BODY, chunked=True))
    assert destination.fetch(server.url + PATH)[0] == len(BODY)
    assert destination.wheel.read_bytes() == BODY


def test_fetch_http_ends_its_thread(server: ModelServer, destination: Destination) -> None:
    """Nothing runs on after a success."""
    server.serve(PATH, Reply(body=BODY))
    destination.fetch(server.url + PATH)
    destination.wheel.unlink()
    destination.assert_nothing_left()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Reply(404), "HTTP 404 Not Found"),
        (Reply(503), "HTTP 503 Service Unavailable"),
        (Reply(body=BODY, cut_after_bytes=1000), "cut short: 1,000 of 262,144 bytes received"),
        (Reply(body=BODY[:5000], declared_length=6000), "cut short: 5,000 of 6,000 bytes received"),
        (Reply(body=b"", declared_length=9), "cut short: 0 of 9 bytes received"),
        (Reply(body=BODY, cut_after_bytes=70000, reset=True), "Connection reset by peer"),
        (Reply(endless=True), "sends more than the 3,932,160 bytes expected"),
        (Reply(endless=True, chunked=True), "sends more than the 3,932,160 bytes expected"),
        (Reply(body=bytes(BELIEVABLE + 1), chunked=True), "sends more than the 3,932,160 bytes expected"),
        (
            Reply(body=b"x", declared_length=BELIEVABLE + 1),
            "declares 3,932,161 bytes, more than the 3,932,160 expected",
        ),
        (Reply(body=b"x", declared_length=BELIEVABLE), "cut short: 1 of 3,932,160 bytes received"),
        (Reply(302, {"Location": "ftp://x/"}), "redirects from http to ftp://x/"),
    ],
    ids=[
        "404", "503", "cut", "short", "empty", "reset", "endless", "endless-chunks", "too-long", "declares-too-much",
        "declares-the-most", "redirect",
    ],
)  # fmt: skip
def test_fetch_bad_answer(server: ModelServer, destination: Destination, fault: Reply, reason: str) -> None:
    """Whatever a server does wrong has its own words and leaves nothing behind."""
    server.serve(PATH, fault)
    kind = "missing" if "404" in reason else "short" if reason.startswith("cut short") else "other"
    assert destination.reason(server.url + PATH, size_mb=1, kind=kind) == reason


def test_fetch_endless_body_of_unknown_size(
    server: ModelServer, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body without end stops at a cap also where neither pin nor server names a size."""
    monkeypatch.setattr(_download, "MAX_UNKNOWN_BYTES", 1 << 20)
    server.serve(PATH, Reply(endless=True))
    assert destination.reason(server.url + PATH) == "sends more than the 1,048,576 bytes expected"


@pytest.mark.parametrize("size_mb", [None, 0, 1, 500])
def test_fetch_believable_size(server: ModelServer, destination: Destination, size_mb: int | None) -> None:
    """A wheel as large as its pin says, or somewhat larger, is taken."""
    body = bytes(((size_mb or 0) % 2 << 20) + 900_000)
    server.serve(PATH, Reply(body=body))
    assert destination.fetch(server.url + PATH, sha256=hashlib.sha256(body).hexdigest(), size_mb=size_mb)[0] == len(
        body
    )


@pytest.mark.parametrize("body", [BODY[:-1] + b"x", b"", b"P<", b"PK{"], ids=["altered", "empty", "one", "two"])
def test_fetch_other_bytes(server: ModelServer, destination: Destination, body: bytes) -> None:
    """Other bytes are refused; both digests, size and place are told, and nothing is left."""
    server.serve(PATH, Reply(body=body))
    got = hashlib.sha256(body).hexdigest()
    with pytest.raises(RequestError, match=rf"^got sha256 {got} in {len(body):,} bytes$") as refused:
        destination.fetch(server.url + PATH)
    destination.assert_nothing_left()
    error = refused.value
    assert (error.got_sha256, error.got_bytes, error.url) == (got, len(body), server.url + PATH)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"Sign in"),
        ("Text/HTML", b"\n"),
        ("application/xhtml+xml", b"?"),
        ("application/json", b"[]"),
        ("application/problem+json", b"null"),
        ("application/octet-stream", b"<!doctype html>"),
        ("application/octet-stream", b"\xef\xbb\xbf\r\n  <html>"),
        ("application/zip", b'{"message": "Not Found"}'),
        ("", b"<"),
    ],
)
def test_fetch_page(server: ModelServer, destination: Destination, content_type: str, body: bytes) -> None:
    """A page that comes in place of the file is told from other bytes, by its type or by how it begins."""
    server.serve(PATH, Reply(headers={"Content-Type": content_type} if content_type else {}, body=body))
    shown = content_type or "no content type"
    what = "a JSON document" if "json" in shown or b"{" in body else "an HTML page"
    assert destination.reason(server.url + PATH, kind="page") == f"received {what} instead of the wheel ({shown})"


def test_fetch_wheel_that_is_called_a_page(server: ModelServer, destination: Destination) -> None:
    """A server's wrong idea of the type does not stand in the way of a wheel."""
    body = b"PK" + BODY
    server.serve(PATH, Reply(headers={"Content-Type": "text/html"}, body=body))
    assert destination.fetch(server.url + PATH, sha256=hashlib.sha256(body).hexdigest())[0] == len(body)


def test_fetch_tells_where_a_redirect_led(server: ModelServer, destination: Destination) -> None:
    """Wrong bytes are told with the address they came from in the end."""
    server.serve(PATH, Reply(302, {"Location": "/y.whl?token=secret"}))
    server.serve("/y.whl", Reply(body=b"x"))
    with pytest.raises(RequestError, match="got sha256") as refused:
        destination.fetch(server.url + PATH)
    assert refused.value.url == f"{server.url}/y.whl"


@pytest.mark.parametrize(
    "fault", [Reply(404), Reply(body=b"x"), Reply(body=BODY, cut_after_bytes=9), Reply(stall="body")]
)
def test_fetch_error_keeps_credentials_back(server: ModelServer, destination: Destination, fault: Reply) -> None:
    """User, password and query of a URL are in no error, nor in what it came from."""
    server.serve(PATH, fault)
    url = f"{server.url.replace('//', '//user:secret@')}{PATH}?token=secret"
    with pytest.raises(RequestError, match=r".") as failed:
        destination.with_settings(timeout_s=0.2).fetch(url)
    assert failed.value.url == f"{server.url}{PATH}"
    error: BaseException | None = failed.value
    while error is not None:
        assert "secret" not in f"{error} {error!r} {error.args}"
        error = error.__cause__


@pytest.mark.parametrize(
    "fault",
    [
        Reply(stall="headers"),
        Reply(body=BODY, stall="body"),
        Reply(body=BODY, drip_bytes_per_s=2000),
        Reply(endless=True, body=b"x", drip_bytes_per_s=2000),
    ],
    ids=["stall-before-headers", "stall-in-body", "drip", "endless-drip"],
)
def test_fetch_deadline(server: ModelServer, destination: Destination, fault: Reply) -> None:
    """No server can hold a call beyond its deadline, and the thread that read from it ends."""
    server.serve(PATH, fault)
    began_s = time.monotonic()
    assert destination.failure(server.url + PATH, deadline_s=0.3) == "deadline of 0.3 s passed"
    assert time.monotonic() - began_s < 15
    assert not threads_left()


def test_fetch_deadline_passed_before(server: ModelServer, destination: Destination) -> None:
    """With no time left nothing is waited for."""
    server.serve(PATH, Reply(stall="headers"))
    assert destination.failure(server.url + PATH, deadline_s=0) == "deadline of 0 s passed"
    assert not threads_left()


def test_fetch_deadline_in_name_server(
    server: ModelServer, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not answer holds no call; when it does in the end, nothing is fetched any more."""
    server.serve(PATH, Reply(stall="body", body=BODY))
    answered, look_up = threading.Event(), socket.getaddrinfo

    def slow(*args: object, **kwargs: object) -> object:
        answered.wait(30)
        return look_up(*args, **kwargs)  # type: ignore[arg-type]  # whatever it was asked

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(RequestError, match=r"deadline of 0\.1 s passed"):
        destination.fetch(server.url + PATH, deadline_s=0.1)
    answered.set()
    assert not threads_left()
    assert not server.requests


@pytest.mark.parametrize("fault", [Reply(body=BODY, stall="body"), Reply(stall="headers")], ids=["body", "headers"])
def test_fetch_interrupted(
    server: ModelServer, destination: Destination, monkeypatch: pytest.MonkeyPatch, fault: Reply
) -> None:
    """Ctrl-C while waiting goes through and leaves no thread; what was received stays, to be resumed."""
    server.serve(PATH, fault)
    received = threading.Event()
    monkeypatch.setattr(Recorded, "advance", lambda *_: received.set())

    def wait() -> None:
        server.wait_for(PATH)
        if fault.stall == "body":
            received.wait(30)

    with pressed(wait), pytest.raises(KeyboardInterrupt, match=r"^$"):
        destination.fetch(server.url + PATH)
    assert not threads_left()
    left = destination.part.read_bytes()
    assert left == BODY[: len(left)]
    assert bool(left) is (fault.stall == "body")
    assert not destination.wheel.exists()


def test_fetch_deadline_in_tls_handshake(destination: Destination) -> None:
    """A server that accepts and never ends the TLS handshake holds no call beyond its deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}{PATH}"
        began_s = time.monotonic()
        assert destination.failure(url, deadline_s=0.3) == "deadline of 0.3 s passed"
        assert time.monotonic() - began_s < 15
    destination.assert_nothing_left()


@pytest.mark.parametrize("size", [1000, len(BODY)], ids=["small", "large"])
def test_fetch_full_disk(server: ModelServer, destination: Destination, size: int) -> None:
    """A full disk is told as what it is, not as the source's fault, and leaves no part file."""
    destination.part.symlink_to("/dev/full")
    server.serve(PATH, Reply(body=BODY[:size]))
    with pytest.raises(InstallError, match="No space left on device") as failed:
        destination.fetch(server.url + PATH, sha256=hashlib.sha256(BODY[:size]).hexdigest())
    assert (failed.value.fault, failed.value.path) == ("space", str(destination.part))
    destination.assert_nothing_left()


def test_fetch_other_bytes_on_full_disk(server: ModelServer, destination: Destination) -> None:
    """A disk that is full hides no refusal, nor keeps the part file."""
    destination.part.symlink_to("/dev/full")
    server.serve(PATH, Reply(body=b"x"))
    with pytest.raises(RequestError, match="got sha256"):
        destination.fetch(server.url + PATH)
    destination.assert_nothing_left()


def test_fetch_folder_absent(server: ModelServer, destination: Destination) -> None:
    """A folder that went away is the disk's fault, not the source's."""
    server.serve(PATH, Reply(body=BODY))
    destination.folder.rmdir()
    with pytest.raises(InstallError, match="No such file or directory") as failed:
        destination.fetch(server.url + PATH)
    assert (failed.value.fault, failed.value.path) == ("system", str(destination.part))


def test_fetch_file(tmp_path: Path, destination: Destination) -> None:
    """A file URL is copied and verified, whatever its name needs to be quoted."""
    source = tmp_path / "a b%20ü#?.whl"
    source.write_bytes(BODY)
    received, told = destination.fetch(source.as_uri())
    assert received == len(BODY)
    assert [*destination.folder.iterdir()] == [destination.wheel]
    assert destination.wheel.read_bytes() == source.read_bytes() == BODY
    assert told[0] == ("en_x 1.0.0", len(BODY), 0)


def test_fetch_file_of_other_bytes(tmp_path: Path, destination: Destination) -> None:
    """A file of other bytes is refused like any other source, and stays where it was."""
    source = tmp_path / "x.whl"
    source.write_bytes(b"x")
    with pytest.raises(RequestError, match=hashlib.sha256(b"x").hexdigest()):
        destination.fetch(source.as_uri())
    destination.assert_nothing_left()
    assert source.read_bytes() == b"x"


def test_fetch_file_absent(tmp_path: Path, destination: Destination) -> None:
    """A file that is not there is told in the system's words."""
    assert destination.reason((tmp_path / "x.whl").as_uri(), kind="missing") == "No such file or directory"


def test_fetch_file_that_is_a_folder(tmp_path: Path, destination: Destination) -> None:
    """A folder of that name is no file."""
    (tmp_path / "x.whl").mkdir()
    assert destination.reason((tmp_path / "x.whl").as_uri(), kind="missing") == "not a regular file"


def test_fetch_file_too_large(tmp_path: Path, destination: Destination) -> None:
    """A file far larger than the pin's size is refused unread, and is not left open."""
    (tmp_path / "x.whl").write_bytes(bytes(BELIEVABLE + 1))
    assert destination.reason((tmp_path / "x.whl").as_uri(), size_mb=1).startswith("declares 3,932,161 bytes")


def test_fetch_file_that_cannot_be_read_to_its_end(destination: Destination) -> None:
    """A file system that fails while a file is read is the source's fault."""
    # Its first page, address 0, is never mapped, so reading it fails as a worn-out disk does.
    assert destination.reason("file:///proc/self/mem") == "Input/output error"


CHILD = """
import sys
import modelboot
pin = modelboot.ModelPin("en_x", "1.0.0", "0" * 64, url=sys.argv[1])
try:
    modelboot.ensure_model(pin, target=sys.argv[2], offline=True)
except modelboot.ModelbootError as error:
    sys.stdout.write(error.attempts[0].reason)
"""


def test_fetch_file_unreadable() -> None:
    """A file this user may not read is told in the system's words."""
    skip_unless_other_user()
    with public_folder() as folder:
        secret = folder / "x.whl"
        secret.write_bytes(BODY)
        secret.chmod(0o600)
        target = folder / "target"
        target.mkdir()
        target.chmod(0o777)
        assert run_as_other_user(CHILD, secret.as_uri(), target) == "Permission denied"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses between tries short: how long they are is tested elsewhere."""
    monkeypatch.setattr(_retry, "FIRST_DELAY_S", 0.001)


def ranges(server: ModelServer) -> list[tuple[str | None, str | None]]:
    """Tell from where, and of which file, each request wanted the body."""
    return [(request.headers.get("Range"), request.headers.get("If-Range")) for request in server.requests]


def test_fetch_whole_part_left(server: ModelServer, destination: Destination) -> None:
    """A call killed between the last byte and the name of the wheel is finished without a request."""
    destination.part.write_bytes(BODY)
    assert destination.fetch(server.url + PATH) == (0, ["closed"])
    assert [*destination.folder.iterdir()] == [destination.wheel]
    assert not server.requests


@pytest.mark.parametrize(
    ("note", "asked"),
    [('{"validator": "\\"a\\""}', '"a"'), (None, None), ("torn", None), ("[]", None), ("{}", None)],
    ids=["note", "no-note", "torn", "list", "empty"],
)
def test_fetch_part_left(server: ModelServer, destination: Destination, note: str | None, asked: str | None) -> None:
    """A part left by a crash is resumed, with what the server knew the file by if that was noted."""
    destination.part.write_bytes(BODY[:1000])
    if note is not None:
        destination.part.with_name(f"{destination.part.name}.json").write_text(note, "utf-8")
    server.serve(PATH, Reply(headers={"ETag": '"a"'}, body=BODY, ranged=True))
    received, told = destination.fetch(server.url + PATH)
    assert (received, told[0]) == (len(BODY) - 1000, ("en_x 1.0.0", len(BODY), 1000))
    assert [*destination.folder.iterdir()] == [destination.wheel]
    assert ranges(server) == [("bytes=1000-", asked)]


def test_fetch_part_left_of_other_bytes(server: ModelServer, destination: Destination) -> None:
    """A part that leads to other bytes is dropped, and the whole file fetched, without a try being spent."""
    destination.part.write_bytes(b"x" * 1000)
    server.serve(PATH, Reply(body=BODY, ranged=True))
    assert destination.fetch(server.url + PATH)[0] == len(BODY) - 1000 + len(BODY)
    assert destination.wheel.read_bytes() == BODY
    assert [asked for asked, _ in ranges(server)] == ["bytes=1000-", None]


def test_fetch_part_left_beyond_the_end(server: ModelServer, destination: Destination) -> None:
    """A part longer than the file is dropped when the server says so, without a try being spent."""
    destination.part.write_bytes(b"x" * (len(BODY) + 1))
    server.serve(PATH, Reply(body=BODY, ranged=True))
    assert destination.fetch(server.url + PATH)[0] == len(BODY)
    assert [asked for asked, _ in ranges(server)] == [f"bytes={len(BODY) + 1}-", None]


@pytest.mark.usefixtures("at_once")
def test_fetch_other_bytes_after_resuming_twice(server: ModelServer, destination: Destination) -> None:
    """What does not match after a resume is fetched from zero once; resumed and wrong again, it is refused."""
    wrong = b"PK" + bytes(len(BODY))
    cut = Reply(headers={"ETag": '"a"'}, body=wrong, ranged=True, cut_after_bytes=1000)
    whole = Reply(headers={"ETag": '"a"'}, body=wrong, ranged=True)
    server.serve(PATH, cut, whole, cut, whole)
    with pytest.raises(RequestError, match="got sha256"):
        destination.with_settings(retries=9).fetch(server.url + PATH)
    assert [asked for asked, _ in ranges(server)] == [None, "bytes=1000-", None, "bytes=1000-"]
    destination.assert_nothing_left()


@pytest.mark.usefixtures("at_once")
def test_fetch_tells_of_pauses(server: ModelServer, destination: Destination) -> None:
    """Who follows a transfer is told what went wrong, how long the pause is, and how much is here already."""
    cut = Reply(body=BODY, ranged=True, cut_after_bytes=1000)
    server.serve(PATH, cut, Reply(body=BODY, ranged=True))
    _, told = destination.with_settings(retries=1).fetch(server.url + PATH)
    notes = [text for text in told if isinstance(text, str)]
    assert notes == ["en_x 1.0.0: cut short: 1,000 of 262,144 bytes received; next attempt in 0.0 s", "closed"]
    assert ("en_x 1.0.0", len(BODY), 1000) in told


@pytest.mark.usefixtures("at_once")
def test_fetch_counts_its_tries(server: ModelServer, destination: Destination) -> None:
    """Who gave up says after how many tries."""
    server.serve(PATH, Reply(500))
    destination = destination.with_settings(retries=2)
    assert destination.reason(server.url + PATH) == "HTTP 500 Internal Server Error, 3 attempts"
    assert server.count(PATH) == 3


def test_fetch_file_that_shrinks(tmp_path: Path, destination: Destination) -> None:
    """A file that is shortened while it is copied is the source's fault."""
    source = tmp_path / "x.whl"
    source.write_bytes(BODY)

    class Shortening(Recorded):
        def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
            super().start(label, total_bytes, present_bytes)
            os.truncate(source, 1000)

    with pytest.raises(RequestError, match=r"cut short: 1,000 of 262,144 bytes received") as failed:
        download(source.as_uri(), destination.wanted(Shortening()), destination.settings.trust_env)
    assert failed.value.kind == "short"
    destination.assert_nothing_left()


def test_fetch_certificates_that_cannot_be_read(server: ModelServer, destination: Destination, tmp_path: Path) -> None:
    """A setting that cannot be used is the caller's to correct, not the source's failure."""
    destination = destination.with_settings(trust_env=TrustEnv(ca_bundle=("CURL_CA_BUNDLE", tmp_path / "absent.pem")))
    with pytest.raises(SettingsError, match=r"^CURL_CA_BUNDLE='.*absent\.pem' is not a file or folder of PEM"):
        destination.fetch(server.url.replace("http:", "https:") + PATH)
    destination.assert_nothing_left()
