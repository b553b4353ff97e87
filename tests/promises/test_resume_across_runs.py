"""What a killed or interrupted call has fetched is not fetched again by the next one, nor left behind."""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin, ensure_model
from support.children import OTHER, STUB_SPACY, command, environment, pin_arguments, skip_unless_other_user
from support.folders import is_complete, leftovers, parts_below
from support.interrupts import threads_left
from support.server import Reply
from support.wheels import BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

PATH = "/w.whl"
ETAG, DATE = {"ETag": '"one"'}, {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
WORTH = 1 << 20
"""A part of so many bytes is worth resuming."""
CUT = 2 * WORTH
"""Where the server breaks off the first time."""
AGAIN = "next attempt"
"""What the log says when a transfer has broken off and is to go on after a pause."""

CHILD = """
import logging, sys
from modelboot import ModelPin, ensure_model
from modelboot._network import retry
retry.FIRST_DELAY_S = 30.0  # it is killed while it pauses
logging.basicConfig(level="INFO", format="%(message)s")
ensure_model(ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""


class _CtrlC(logging.Handler):
    """Presses Ctrl-C in the pause before the next attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        if AGAIN in record.getMessage():
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Transfer:
    """The transfer of a wheel from a server into the target, over several calls."""

    wheel: BuiltWheel
    server: ModelServer
    target: Path

    @property
    def pin(self) -> ModelPin:
        """The pin, with its URL on the server."""
        return self.wheel.pin_at(f"{self.server.url}{PATH}")

    @property
    def complete(self) -> Reply:
        """A reply with all of the wheel, or with what is left of it."""
        return Reply(headers=ETAG, body=self.wheel.content, ranged=True)

    def cut(self, headers: dict[str, str], *, at: int = CUT, body: bytes = b"") -> Reply:
        """Make a reply that breaks off."""
        return Reply(headers=headers, body=body or self.wheel.content, cut_after_bytes=at)

    def interrupt(self, *replies: Reply) -> None:
        """Press Ctrl-C in this process once the first reply has broken off; the next call is given the others."""
        self.server.serve(PATH, *replies)
        logger, handler = logging.getLogger("modelboot"), _CtrlC()
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            ensure_model(self.pin)
        logger.removeHandler(handler)
        assert not threads_left()

    def kill_child(self, *replies: Reply) -> None:
        """Have a process given the first reply, and kill it; the next call is given the others."""
        self.server.serve(PATH, *replies)
        words = command(CHILD, *pin_arguments(self.pin))
        with subprocess.Popen(words, env=environment(STUB_SPACY), stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            try:
                assert any(AGAIN in line for line in child.stderr)
            finally:
                child.kill()

    def finish(self) -> tuple[int, list[tuple[int, str | None]]]:
        """See that the next plain call gets the model and leaves nothing behind.

        Returns:
            The bytes it downloaded; from where, and of which file, each request wanted the body.
        """
        before = len(self.server.requests)
        model = ensure_model(self.pin)
        headers = [request.headers for request in self.server.requests[before:]]
        assert is_complete(self.target, self.pin)
        assert not parts_below(self.target)
        assert not threads_left()
        starts = [int(each.get("Range", "bytes=0-").strip("bytes=-")) for each in headers]
        return model.downloaded_bytes, [*zip(starts, [each.get("If-Range") for each in headers], strict=True)]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of 3 MB."""
    return large_wheel(tmp_path_factory.mktemp("larger"), size_bytes=3_000_000)


@pytest.fixture
def transfer(wheel: BuiltWheel, server: ModelServer, target: Path) -> Transfer:
    """Return a transfer that has not begun."""
    return Transfer(wheel, server, target)


def test_resume_after_a_kill(transfer: Transfer) -> None:
    """After a kill in the middle of the body the next call fetches the rest of the same file only."""
    transfer.kill_child(transfer.cut(ETAG), transfer.complete)
    downloaded, ((start, validator),) = transfer.finish()
    assert CUT - (1 << 16) <= start <= CUT  # what was not yet written is lost
    assert (downloaded, validator) == (transfer.wheel.size_bytes - start, '"one"')


@pytest.mark.parametrize(
    ("headers", "validator"), [(ETAG, '"one"'), (DATE, DATE["Last-Modified"]), ({}, None)], ids=["etag", "date", "none"]
)
def test_resume_in_one_process(transfer: Transfer, headers: dict[str, str], validator: str | None) -> None:
    """A program that goes on after Ctrl-C resumes the very file if the server can tell; else the hash tells."""
    known = {"ETag": validator} if validator else {}  # what the scripted server compares If-Range with
    transfer.interrupt(transfer.cut(headers), replace(transfer.complete, headers=known))
    assert transfer.finish() == (transfer.wheel.size_bytes - CUT, [(CUT, validator)])


@pytest.mark.parametrize("headers", [ETAG, {}], ids=["etag", "etag-gone"])
def test_resume_twice(transfer: Transfer, headers: dict[str, str]) -> None:
    """A call that resumes and is interrupted as well hands down what both have fetched, and what the last was told."""
    size_bytes, start = transfer.wheel.size_bytes, CUT + WORTH // 2
    part = {**headers, "Content-Range": f"bytes {CUT}-{size_bytes - 1}/{size_bytes}"}
    transfer.interrupt(transfer.cut(ETAG))
    transfer.interrupt(Reply(206, part, transfer.wheel.content[CUT:], cut_after_bytes=start - CUT), transfer.complete)
    assert transfer.finish() == (size_bytes - start, [(start, headers.get("ETag"))])


def test_resume_wrong_beginning(transfer: Transfer) -> None:
    """What was put together from two runs and does not match is fetched once more, from zero."""
    wrong = transfer.cut({}, body=b"PK" + bytes(transfer.wheel.size_bytes))
    transfer.interrupt(wrong, Reply(body=transfer.wheel.content, ranged=True))
    assert transfer.finish() == (2 * transfer.wheel.size_bytes - CUT, [(CUT, None), (0, None)])


def test_resume_of_another_pin(transfer: Transfer, tmp_path: Path) -> None:
    """A part of another pin's wheel is neither put into this one nor left behind."""
    transfer.interrupt(transfer.cut(ETAG))
    other = replace(transfer, wheel=large_wheel(tmp_path / "other", size_bytes=3_000_000, seed=1))
    transfer.server.serve(PATH, other.complete)
    assert other.finish() == (other.wheel.size_bytes, [(0, None)])


def test_resume_of_what_another_user_may_write(transfer: Transfer) -> None:
    """A part that another user may write to is fetched anew: it could be changed once its hash has been compared."""
    skip_unless_other_user()
    transfer.interrupt(transfer.cut(ETAG), transfer.complete)
    for part in parts_below(transfer.target):
        os.chown(part, OTHER, OTHER)
    assert transfer.finish() == (transfer.wheel.size_bytes, [(0, None)])


def test_resume_small_part(transfer: Transfer) -> None:
    """Less than a megabyte is not kept: it is gone after Ctrl-C, after a kill with the next call, which fetches all."""
    transfer.interrupt(transfer.cut(ETAG, at=WORTH // 2))
    assert leftovers(transfer.target) == []
    transfer.kill_child(transfer.cut(ETAG, at=WORTH // 2), transfer.complete)
    assert transfer.finish() == (transfer.wheel.size_bytes, [(0, None)])


def test_resume_part_is_whole(transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was ended with all bytes received leaves nothing to be asked for, even where there are no retries."""
    transfer.interrupt(Reply(body=transfer.wheel.content, declared_length=transfer.wheel.size_bytes + 9), Reply(404))
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    assert transfer.finish() == (0, [])
