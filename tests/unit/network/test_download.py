"""A URL becomes a verified file: what is shown meanwhile, what is not a wheel, and whose fault a failure is.

What servers do wrong is in the table of tests/promises/test_network_faults.py.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock, call

import pytest

from modelboot._deadline import Deadline, Limits
from modelboot._network import retry as _retry
from modelboot._network.download import Download, download
from modelboot._network.response import RequestError
from modelboot._network.trust_env import TrustEnv
from modelboot._progress import Progress
from modelboot.errors import InstallError
from support.folders import names
from support.interrupts import threads_left
from support.server import ModelServer, Reply

BODY = b"PK" + bytes(range(256)) * 1024
CUT = 1000
PATH = "/x.whl"


@dataclass(frozen=True)
class Destination:
    """A folder to download into."""

    folder: Path
    progress: Mock

    @property
    def part(self) -> Path:
        """Where a download is until it is verified."""
        return self.folder / "pinned.whl.part"

    def fetch(self, url: str, body: bytes = BODY, *, deadline_s: float = 60.0) -> int:
        """Download a URL with one retry; the bytes of `body` are wanted."""
        limits = Limits(timeout_s=30.0, retries=1, deadline=Deadline.after(deadline_s))
        sha256, path = hashlib.sha256(body).hexdigest(), self.folder / "pinned.whl"
        return download(
            url, Download("en_x 1.0.0", sha256, None, path, limits, self.progress), TrustEnv()
        ).downloaded_bytes

    def left(self) -> list[str]:
        """Name the files that are left, and see that no thread is."""
        assert not threads_left()
        return names(self.folder)


@pytest.fixture
def destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Destination:
    """Return an empty folder, and a progress that notes what it is told; pauses between attempts are short."""
    monkeypatch.setattr(_retry, "FIRST_DELAY_S", 0.001)
    (tmp_path / "stage").mkdir()
    return Destination(tmp_path / "stage", Mock(spec=Progress))


def test_progress(server: ModelServer, destination: Destination) -> None:
    """A progress is told the size, every byte, why and how long the download pauses, and how much is here then."""
    # A server's wrong idea of the type does not stand in the way of a wheel.
    whole = Reply(headers={"Content-Type": "text/html"}, body=BODY, ranged=True)
    server.serve(PATH, replace(whole, cut_after_bytes=CUT), whole)
    assert destination.fetch(server.url + PATH) == len(BODY)
    assert destination.left() == ["pinned.whl"]
    assert (destination.folder / "pinned.whl").read_bytes() == BODY
    progress = destination.progress
    assert progress.start.mock_calls == [call("en_x 1.0.0", len(BODY), present) for present in (0, CUT)]
    progress.note.assert_called_once_with(
        "en_x 1.0.0: cut short: 1,000 of 262,146 bytes received; next attempt in 0.0 s"
    )
    assert sum(told.args[0] for told in progress.advance.mock_calls) == len(BODY)
    assert progress.mock_calls[-1] == call.close()


def test_deadline_passed(destination: Destination, tmp_path: Path) -> None:
    """With no time left nothing is taken, even from a disk."""
    (tmp_path / "x.whl").write_bytes(BODY)
    with pytest.raises(RequestError, match=r"^deadline of 0 s passed$"):
        destination.fetch((tmp_path / "x.whl").as_uri(), deadline_s=0)
    destination.progress.advance.assert_not_called()
    assert destination.left() == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("Text/HTML ; charset=utf-8", b"\n"),
        ("application/xhtml+xml", b"?"),
        ("application/json", b"[]"),
        ("application/problem+json", b"null"),
        ("application/octet-stream", b"\xef\xbb\xbf\r\n  <html>"),
        ("application/zip", b'{"message": "Not Found"}'),
        ("", b"<"),
    ],
)
def test_page(server: ModelServer, destination: Destination, content_type: str, body: bytes) -> None:
    """A page that comes in place of the file is told from other bytes, by its type or by how it begins."""
    server.serve(PATH, Reply(headers={"Content-Type": content_type} if content_type else {}, body=body))
    with pytest.raises(RequestError, match=r"^received ") as failed:
        destination.fetch(server.url + PATH)
    shown = content_type or "no content type"
    what = "a JSON document" if "json" in shown or b"{" in body else "an HTML page"
    assert failed.value.reason == f"received {what} instead of the wheel ({shown})"
    assert (failed.value.kind, failed.value.got_sha256) == ("not_a_wheel", None)
    assert destination.left() == []


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"{}", b'"x"', b"\xff"])
def test_part_with_a_broken_note(server: ModelServer, destination: Destination, note: bytes) -> None:
    """A part is resumed although what the server knew the file by cannot be read."""
    destination.part.write_bytes(BODY[:CUT])
    destination.part.with_name(f"{destination.part.name}.json").write_bytes(note)
    server.serve(PATH, Reply(headers={"ETag": '"a"'}, body=BODY, ranged=True))
    assert destination.fetch(server.url + PATH) == len(BODY) - CUT
    assert "If-Range" not in server.requests[0].headers
    assert destination.left() == ["pinned.whl"]


@pytest.mark.parametrize("suffix", ["", ".json"], ids=["part", "note"])
def test_planted_link(server: ModelServer, destination: Destination, tmp_path: Path, suffix: str) -> None:
    """What a link in the place of a part, or of the note beside it, leads to is not written to."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    destination.part.with_name(f"{destination.part.name}{suffix}").symlink_to(victim)
    server.serve(PATH, Reply(headers={"ETag": '"a"'}, body=BODY))
    with suppress(InstallError):
        destination.fetch(server.url + PATH)
    assert victim.read_bytes() == b"theirs"


@pytest.mark.parametrize("size", [1000, len(BODY)], ids=["small", "large"])
def test_full_disk(server: ModelServer, destination: Destination, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A full disk is told as what it is, whenever it shows, not as the source's fault."""
    really, part = os.open, str(destination.part)
    monkeypatch.setattr(os, "open", lambda path, *rest: really("/dev/full" if str(path) == part else path, *rest))
    server.serve(PATH, Reply(body=BODY[:size]))
    with pytest.raises(InstallError, match="No space left on device") as failed:
        destination.fetch(server.url + PATH, BODY[:size])
    assert (failed.value.fault, failed.value.path) == ("space", str(destination.part))
    assert destination.left() == []


def test_file_that_shrinks(destination: Destination, tmp_path: Path) -> None:
    """A file that is shortened while it is copied is the source's fault."""
    source = tmp_path / "x.whl"
    source.write_bytes(BODY)
    destination.progress.start.side_effect = lambda *_: os.truncate(source, CUT)
    with pytest.raises(RequestError, match=r"cut short: 1,000 of 262,146 bytes received") as failed:
        destination.fetch(source.as_uri())
    assert failed.value.kind == "short"
    assert destination.left() == []
