"""A URL becomes a verified file, or an error by the deadline with nothing left behind."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin, _download
from modelboot._deadline import Deadline
from modelboot._download import Job, fetch
from modelboot.errors import DownloadError, HashMismatchError, InstallError
from support.server import ModelServer, Reply
from support.users import public_folder, run_as_other_user, skip_unless_other_user

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot._settings import Settings

BODY = bytes(range(256)) * 1024
SHA256 = hashlib.sha256(BODY).hexdigest()
BELIEVABLE = 3 * (1 << 20) * 5 // 4
"""Most bytes taken for a pin of 1 MB."""
PATH = "/x.whl"


@dataclass
class Recorded:
    """A progress that keeps what it is told."""

    told: list[object] = field(default_factory=list)

    def start(self, label: str, total_bytes: int | None) -> None:
        """Keep label and size."""
        self.told.append((label, total_bytes))

    def advance(self, received_bytes: int) -> None:
        """Keep a figure."""
        self.told.append(received_bytes)

    def close(self) -> None:
        """Keep the fact."""
        self.told.append("closed")


@dataclass(frozen=True)
class Scene:
    """A folder to fetch into, and the terms."""

    folder: Path
    settings: Settings

    @property
    def wheel(self) -> Path:
        """Where the wheel appears."""
        return self.folder / "pinned.whl"

    @property
    def part(self) -> Path:
        """Where it lies until it is verified."""
        return self.folder / "pinned.whl.part"

    def fetch(
        self, url: str, *, sha256: str = SHA256, size_mb: int | None = None, deadline_s: float = 30.0
    ) -> tuple[int, list[object]]:
        """Fetch one URL; return the bytes received and what a progress was told."""
        progress = Recorded()
        job = Job(ModelPin("en_x", "1.0.0", sha256, size_mb=size_mb), "release", url, self.wheel)
        return fetch(job, self.settings, Deadline.after(deadline_s), progress), progress.told

    def reason(self, url: str, *, size_mb: int | None = None, deadline_s: float = 30.0) -> str:
        """Have a URL fail, see that nothing is left of it, and return why."""
        with pytest.raises(DownloadError, match=r"could not get en_x 1\.0\.0") as failed:
            self.fetch(url, size_mb=size_mb, deadline_s=deadline_s)
        self.assert_nothing_left()
        (attempt,) = failed.value.attempts
        assert (attempt.source, attempt.got_sha256) == ("release", None)
        return attempt.reason

    def assert_nothing_left(self) -> None:
        """See that no file and no thread is left."""
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("modelboot-")]
        for thread in threads:
            thread.join(10)
        assert not [thread for thread in threads if thread.is_alive()]
        assert not [*self.folder.iterdir()]


@pytest.fixture
def scene(tmp_path: Path, settings: Settings) -> Scene:
    """Return an empty folder with terms of 30 s."""
    folder = tmp_path / "stage"
    folder.mkdir()
    return Scene(folder, replace(settings, timeout_s=30.0))


def test_fetch_http(server: ModelServer, scene: Scene) -> None:
    """A wheel of the pinned hash is there under its name, alone, and a progress followed it to its end."""
    server.serve(PATH, Reply(body=BODY))
    received, told = scene.fetch(server.url + PATH)
    assert received == len(BODY)
    assert [*scene.folder.iterdir()] == [scene.wheel]
    assert scene.wheel.read_bytes() == BODY
    assert (told[0], told[-1]) == (("en_x 1.0.0", len(BODY)), "closed")
    assert sum(figure for figure in told if isinstance(figure, int)) == len(BODY)


def test_fetch_chunked(server: ModelServer, scene: Scene) -> None:
    """A body of unknown length is taken."""
    server.serve(PATH, Reply(body=BODY, chunked=True))
    assert scene.fetch(server.url + PATH)[0] == len(BODY)
    assert scene.wheel.read_bytes() == BODY


def test_fetch_http_ends_its_thread(server: ModelServer, scene: Scene) -> None:
    """Nothing runs on after a success."""
    server.serve(PATH, Reply(body=BODY))
    scene.fetch(server.url + PATH)
    scene.wheel.unlink()
    scene.assert_nothing_left()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Reply(404), "HTTP 404 Not Found"),
        (Reply(503), "HTTP 503 Service Unavailable"),
        (Reply(body=BODY, cut_after_bytes=1000), "cut short: 1,000 of 262,144 bytes came"),
        (Reply(body=BODY[:5000], declared_length=6000), "cut short: 5,000 of 6,000 bytes came"),
        (Reply(body=b"", declared_length=9), "cut short: 0 of 9 bytes came"),
        (Reply(body=BODY, cut_after_bytes=70000, reset=True), "Connection reset by peer"),
        (Reply(endless=True), "sends more than the 3,932,160 bytes expected"),
        (Reply(endless=True, chunked=True), "sends more than the 3,932,160 bytes expected"),
        (Reply(body=bytes(BELIEVABLE + 1), chunked=True), "sends more than the 3,932,160 bytes expected"),
        (
            Reply(body=b"x", declared_length=BELIEVABLE + 1),
            "declares 3,932,161 bytes, at most 3,932,160 are believable",
        ),
        (Reply(body=b"x", declared_length=BELIEVABLE), "cut short: 1 of 3,932,160 bytes came"),
        (Reply(302, {"Location": "ftp://x/"}), "redirects from http to ftp://x/"),
    ],
    ids=[
        "404", "503", "cut", "short", "empty", "reset", "endless", "endless-chunks", "too-long", "declares-too-much",
        "declares-the-most", "redirect",
    ],
)  # fmt: skip
def test_fetch_bad_answer(server: ModelServer, scene: Scene, fault: Reply, reason: str) -> None:
    """Whatever a server does wrong has its own words and leaves nothing behind."""
    server.serve(PATH, fault)
    assert scene.reason(server.url + PATH, size_mb=1) == reason


def test_fetch_endless_body_of_unknown_size(server: ModelServer, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body without end stops at a cap also where neither pin nor server names a size."""
    monkeypatch.setattr(_download, "UNKNOWN_CAP_BYTES", 1 << 20)
    server.serve(PATH, Reply(endless=True))
    assert scene.reason(server.url + PATH) == "sends more than the 1,048,576 bytes expected"


@pytest.mark.parametrize("size_mb", [None, 0, 1, 500])
def test_fetch_believable_size(server: ModelServer, scene: Scene, size_mb: int | None) -> None:
    """A wheel as large as its pin says, or somewhat larger, is taken."""
    body = bytes(((size_mb or 0) % 2 << 20) + 900_000)
    server.serve(PATH, Reply(body=body))
    assert scene.fetch(server.url + PATH, sha256=hashlib.sha256(body).hexdigest(), size_mb=size_mb)[0] == len(body)


@pytest.mark.parametrize("body", [BODY[:-1] + b"x", b"", b"<html>sign in</html>"], ids=["altered", "empty", "page"])
def test_fetch_other_bytes(server: ModelServer, scene: Scene, body: bytes) -> None:
    """Other bytes are refused; both digests, size and place are told, and nothing is left."""
    server.serve(PATH, Reply(body=body))
    got = hashlib.sha256(body).hexdigest()
    with pytest.raises(HashMismatchError, match=f"expected sha256 {SHA256}") as refused:
        scene.fetch(server.url + PATH)
    scene.assert_nothing_left()
    (attempt,) = refused.value.attempts
    assert refused.value.sha256 == SHA256
    assert (attempt.got_sha256, attempt.got_bytes) == (got, len(body))
    assert f"release ({server.url}{PATH}): got sha256 {got} in {len(body):,} bytes" in refused.value.message


def test_fetch_tells_where_a_redirect_led(server: ModelServer, scene: Scene) -> None:
    """Wrong bytes are told with the address they came from in the end."""
    server.serve(PATH, Reply(302, {"Location": "/y.whl?token=secret"}))
    server.serve("/y.whl", Reply(body=b"x"))
    with pytest.raises(HashMismatchError, match="got sha256") as refused:
        scene.fetch(server.url + PATH)
    assert refused.value.attempts[0].where == f"{server.url}/y.whl"


@pytest.mark.parametrize(
    "fault", [Reply(404), Reply(body=b"x"), Reply(body=BODY, cut_after_bytes=9), Reply(stall="body")]
)
def test_fetch_error_keeps_credentials_back(server: ModelServer, scene: Scene, fault: Reply) -> None:
    """User, password and query of a URL are in no error, nor in what it came from."""
    server.serve(PATH, fault)
    url = f"{server.url.replace('//', '//user:secret@')}{PATH}?token=secret"
    with pytest.raises(DownloadError, match=f"{server.url}{PATH}") as failed:
        Scene(scene.folder, replace(scene.settings, timeout_s=0.2)).fetch(url)
    error: BaseException | None = failed.value
    while error is not None:
        assert "secret" not in f"{error} {error!r}"
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
def test_fetch_deadline(server: ModelServer, scene: Scene, fault: Reply) -> None:
    """No server can hold a call beyond its deadline, and the thread that read from it ends."""
    server.serve(PATH, fault)
    began_s = time.monotonic()
    assert scene.reason(server.url + PATH, deadline_s=0.3) == "deadline of 0.3 s passed"
    assert time.monotonic() - began_s < 15


def test_fetch_deadline_passed_before(server: ModelServer, scene: Scene) -> None:
    """With no time left nothing is waited for."""
    server.serve(PATH, Reply(stall="headers"))
    assert scene.reason(server.url + PATH, deadline_s=0) == "deadline of 0 s passed"


def test_fetch_deadline_in_name_server(server: ModelServer, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer holds no call; when it does in the end, nothing is fetched any more."""
    server.serve(PATH, Reply(stall="body", body=BODY))
    answered, look_up = threading.Event(), socket.getaddrinfo

    def slow(*args: object) -> object:
        answered.wait(30)
        return look_up(*args)  # type: ignore[arg-type]  # whatever it was asked

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(DownloadError, match=r"deadline of 0\.1 s passed"):
        scene.fetch(server.url + PATH, deadline_s=0.1)
    answered.set()
    scene.assert_nothing_left()


@pytest.mark.parametrize("fault", [Reply(body=BODY, stall="body"), Reply(stall="headers")], ids=["body", "headers"])
def test_fetch_interrupted(server: ModelServer, scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: Reply) -> None:
    """Ctrl-C while waiting goes through, and leaves neither file nor thread."""
    server.serve(PATH, fault)
    wait = threading.Event.wait

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None or threading.current_thread() is not threading.main_thread():
            return wait(event, timeout)
        server.wait_for(PATH)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        scene.fetch(server.url + PATH)
    monkeypatch.undo()
    scene.assert_nothing_left()


@pytest.mark.parametrize("size", [1000, len(BODY)], ids=["small", "large"])
def test_fetch_full_disk(server: ModelServer, scene: Scene, size: int) -> None:
    """A full disk is told as what it is, not as the source's fault, and leaves no part file."""
    scene.part.symlink_to("/dev/full")
    server.serve(PATH, Reply(body=BODY[:size]))
    with pytest.raises(InstallError, match="No space left on device") as failed:
        scene.fetch(server.url + PATH, sha256=hashlib.sha256(BODY[:size]).hexdigest())
    assert (failed.value.fault, failed.value.path) == ("space", str(scene.part))
    scene.assert_nothing_left()


def test_fetch_other_bytes_on_full_disk(server: ModelServer, scene: Scene) -> None:
    """A disk that is full hides no refusal, nor keeps the part file."""
    scene.part.symlink_to("/dev/full")
    server.serve(PATH, Reply(body=b"x"))
    with pytest.raises(HashMismatchError, match="got sha256"):
        scene.fetch(server.url + PATH)
    scene.assert_nothing_left()


def test_fetch_folder_absent(server: ModelServer, scene: Scene) -> None:
    """A folder that went away is the disk's fault, not the source's."""
    server.serve(PATH, Reply(body=BODY))
    scene.folder.rmdir()
    with pytest.raises(InstallError, match="No such file or directory") as failed:
        scene.fetch(server.url + PATH)
    assert (failed.value.fault, failed.value.path) == ("system", str(scene.part))


def test_fetch_file(tmp_path: Path, scene: Scene) -> None:
    """A file URL is copied and verified, whatever its name needs to be quoted."""
    source = tmp_path / "a b%20ü#?.whl"
    source.write_bytes(BODY)
    received, told = scene.fetch(source.as_uri())
    assert received == len(BODY)
    assert [*scene.folder.iterdir()] == [scene.wheel]
    assert scene.wheel.read_bytes() == source.read_bytes() == BODY
    assert told[0] == ("en_x 1.0.0", len(BODY))


def test_fetch_file_of_other_bytes(tmp_path: Path, scene: Scene) -> None:
    """A file of other bytes is refused like any other source, and stays where it was."""
    source = tmp_path / "x.whl"
    source.write_bytes(b"x")
    with pytest.raises(HashMismatchError, match=hashlib.sha256(b"x").hexdigest()):
        scene.fetch(source.as_uri())
    scene.assert_nothing_left()
    assert source.read_bytes() == b"x"


def test_fetch_file_absent(tmp_path: Path, scene: Scene) -> None:
    """A file that is not there is told in the system's words."""
    assert scene.reason((tmp_path / "x.whl").as_uri()) == "No such file or directory"


def test_fetch_file_that_is_a_folder(tmp_path: Path, scene: Scene) -> None:
    """A folder of that name is no file."""
    (tmp_path / "x.whl").mkdir()
    assert scene.reason((tmp_path / "x.whl").as_uri()) == "Is a directory"


def test_fetch_file_too_large(tmp_path: Path, scene: Scene) -> None:
    """A file far larger than the pin's size is refused unread, and is not left open."""
    (tmp_path / "x.whl").write_bytes(bytes(BELIEVABLE + 1))
    assert scene.reason((tmp_path / "x.whl").as_uri(), size_mb=1).startswith("declares 3,932,161 bytes")


def test_fetch_file_that_cannot_be_read_to_its_end(scene: Scene) -> None:
    """A file system that fails while a file is read is the source's fault."""
    # Its first page, address 0, is never mapped, so reading it fails as a worn-out disk does.
    assert scene.reason("file:///proc/self/mem") == "Input/output error"


CHILD = """
import sys
from pathlib import Path
from modelboot import ModelPin
from modelboot._deadline import Deadline
from modelboot._download import Job, fetch
from modelboot._progress import make_progress
from modelboot._settings import read_settings
from modelboot.errors import DownloadError
settings = read_settings()
job = Job(ModelPin("en_x", "1.0.0", "0" * 64), "wheelhouse", sys.argv[1], Path(sys.argv[2], "pinned.whl"))
try:
    fetch(job, settings, Deadline.after(30), make_progress(settings))
except DownloadError as error:
    sys.stdout.write(error.attempts[0].reason)
"""


def test_fetch_file_unreadable() -> None:
    """A file this user may not read is told in the system's words."""
    skip_unless_other_user()
    with public_folder() as folder:
        secret = folder / "x.whl"
        secret.write_bytes(BODY)
        secret.chmod(0o600)
        assert run_as_other_user(CHILD, secret.as_uri(), folder) == "Permission denied"
