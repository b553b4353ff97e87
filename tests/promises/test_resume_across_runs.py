"""What a killed or interrupted call has fetched is not fetched again by the next one, nor left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin, ensure_model
from support.children import command, environment, pin_arguments
from support.folders import parts_below
from support.interrupts import pressed, threads_left
from support.server import Reply
from support.wheels import NAME, BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

PATH = "/w.whl"
ETAG = {"ETag": '"one"'}
DATE = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
WORTH = 1 << 20
"""A part of so many bytes is worth resuming."""
STALLED = 2 * WORTH
"""Where the server stops the first time."""
WAIT_S = 30

CHILD = """
import signal, sys
from modelboot import ModelPin, ensure_model
signal.signal(signal.SIGINT, signal.default_int_handler)  # a child in the background may have it ignored
ensure_model(ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""


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

    def stalling(self, after_bytes: int = STALLED, headers: dict[str, str] = ETAG) -> Reply:
        """Make a reply that stops in the body."""
        return Reply(headers=headers, body=self.wheel.content, cut_after_bytes=after_bytes, stall="body")

    def parts(self) -> list[Path]:
        """List the part files below the target."""
        return [*self.target.glob(".modelboot/*.stage/*.part")]

    def start(self) -> subprocess.Popen[str]:
        """Start a process that asks for the wheel."""
        words, pipe = command(CHILD, *pin_arguments(self.pin)), subprocess.PIPE
        return subprocess.Popen(words, env=environment({}), stdout=pipe, stderr=pipe, text=True)

    def wait_for_part(self, size_bytes: int) -> None:
        """Wait until that much of the wheel is on disk, give or take a chunk of 64 KiB."""
        for _ in range(WAIT_S * 100):
            if any(part.stat().st_size > size_bytes - (1 << 16) for part in self.parts()):
                return
            threading.Event().wait(0.01)
        pytest.fail("nothing was received")

    def break_off(self, by: signal.Signals, size_bytes: int = STALLED) -> str:
        """Have a process fetch so much of the wheel and end it by a signal; return what it said last."""
        with self.start() as child:
            try:
                self.wait_for_part(size_bytes)
                child.send_signal(by)
                _, complaint = child.communicate(timeout=WAIT_S)
            finally:
                child.kill()
        assert child.returncode in {-by, 130}, complaint
        return complaint

    def ranges(self) -> list[tuple[str | None, str | None]]:
        """Return from where, and of which file, each request wanted the body."""
        return [(request.headers.get("Range"), request.headers.get("If-Range")) for request in self.server.requests]

    def assert_finished(self, resumed_at: int | None, validator: str | None) -> None:
        """See that the next plain call gets the model, from where the last one stopped, and leaves nothing behind."""
        before = len(self.server.requests)
        model = ensure_model(self.pin)
        asked = None if resumed_at is None else f"bytes={resumed_at}-"
        assert self.ranges()[before:] == [(asked, validator)]
        assert model.downloaded_bytes == self.wheel.size_bytes - (resumed_at or 0)
        assert (self.target / NAME / "vectors.bin").stat().st_size == 3_000_000
        assert not parts_below(self.target)
        assert not threads_left()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of 3 MB."""
    return large_wheel(tmp_path_factory.mktemp("larger"), size_bytes=3_000_000)


@pytest.fixture
def transfer(wheel: BuiltWheel, server: ModelServer, target: Path) -> Transfer:
    """Return a transfer in which the server stops in the body at first, and sends all of it then."""
    transfer = Transfer(wheel, server, target)
    server.serve(PATH, transfer.stalling(), transfer.complete)
    return transfer


def size_of(parts: list[Path]) -> int:
    """Give the size of the only part."""
    (part,) = parts
    return part.stat().st_size


def test_resume_after_kill(transfer: Transfer) -> None:
    """After a SIGKILL in the middle of the body the next call fetches the rest of the same file only."""
    transfer.break_off(signal.SIGKILL)
    resumed_at = size_of(transfer.parts())
    assert STALLED - (1 << 16) <= resumed_at <= STALLED
    transfer.assert_finished(resumed_at, ETAG["ETag"])


def test_resume_after_interrupt_of_a_child(transfer: Transfer) -> None:
    """After Ctrl-C the part is all that stays, and the next call goes on from there."""
    complaint = transfer.break_off(signal.SIGINT)
    assert complaint.strip().endswith("KeyboardInterrupt")
    assert sorted(path.suffix for path in transfer.target.glob(".modelboot/*.stage/*")) == [".json", ".part"]
    transfer.assert_finished(size_of(transfer.parts()), ETAG["ETag"])


def test_resume_after_interrupt_in_process(transfer: Transfer) -> None:
    """A program that goes on after Ctrl-C, as a notebook does, resumes as well."""
    with pressed(lambda: transfer.wait_for_part(STALLED)), pytest.raises(KeyboardInterrupt, match=r"^$"):
        ensure_model(transfer.pin)
    assert not threads_left()
    transfer.assert_finished(size_of(transfer.parts()), ETAG["ETag"])


def test_resume_file_changed_between(transfer: Transfer) -> None:
    """A server that has another file now sends the whole of it, which is what is installed."""
    other = Reply(
        headers={"ETag": '"other"'}, body=bytes(len(transfer.wheel.content)), cut_after_bytes=STALLED, stall="body"
    )
    transfer.server.serve(PATH, other, transfer.complete)
    transfer.break_off(signal.SIGKILL)
    resumed_at = size_of(transfer.parts())
    assert ensure_model(transfer.pin).downloaded_bytes == transfer.wheel.size_bytes
    assert transfer.ranges() == [(None, None), (f"bytes={resumed_at}-", '"other"')]
    assert not parts_below(transfer.target)


def test_resume_from_a_server_without_validators(transfer: Transfer) -> None:
    """A server that says nothing to know the file by is asked for the rest all the same: the hash will tell."""
    transfer.server.serve(PATH, transfer.stalling(headers={}), Reply(body=transfer.wheel.content, ranged=True))
    transfer.break_off(signal.SIGKILL)
    transfer.assert_finished(size_of(transfer.parts()), None)


def test_resume_by_date(transfer: Transfer) -> None:
    """A server that has no ETag knows the file by its date."""
    rest = Reply(
        headers={"ETag": DATE["Last-Modified"]}, body=transfer.wheel.content, ranged=True
    )  # what If-Range is compared with
    transfer.server.serve(PATH, transfer.stalling(headers=DATE), rest)
    transfer.break_off(signal.SIGKILL)
    transfer.assert_finished(size_of(transfer.parts()), DATE["Last-Modified"])


def test_resume_wrong_beginning(transfer: Transfer) -> None:
    """What was put together from two runs and does not match is fetched once more, from zero."""
    wrong = Reply(body=b"PK" + bytes(len(transfer.wheel.content) - 2), cut_after_bytes=STALLED, stall="body")
    transfer.server.serve(PATH, wrong, Reply(body=transfer.wheel.content, ranged=True))
    transfer.break_off(signal.SIGKILL)
    resumed_at = size_of(transfer.parts())
    model = ensure_model(transfer.pin)
    assert model.downloaded_bytes == 2 * transfer.wheel.size_bytes - resumed_at
    assert transfer.ranges() == [(None, None), (f"bytes={resumed_at}-", None), (None, None)]
    assert not parts_below(transfer.target)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_resume_small_part(transfer: Transfer, by: signal.Signals) -> None:
    """Less than a megabyte is not worth keeping: it is gone after the next call, which fetched all."""
    transfer.server.serve(PATH, transfer.stalling(WORTH // 2), transfer.complete)
    transfer.break_off(by, WORTH // 2)
    if by == signal.SIGINT:
        assert not parts_below(transfer.target)
    transfer.assert_finished(None, None)


def test_resume_part_of_another_pin(transfer: Transfer, tmp_path: Path) -> None:
    """A part of another pin's wheel is neither put into this one nor left behind."""
    transfer.break_off(signal.SIGKILL)
    other = Transfer(large_wheel(tmp_path / "other", size_bytes=3_000_000, seed=1), transfer.server, transfer.target)
    transfer.server.serve(PATH, Reply(headers=ETAG, body=other.wheel.content, ranged=True))
    other.assert_finished(None, None)


def test_resume_after_two_kills(transfer: Transfer) -> None:
    """A call that resumes and is killed as well hands down what both have fetched."""
    later = Reply(headers=ETAG, body=transfer.wheel.content, ranged=True, cut_after_bytes=WORTH // 2, stall="body")
    transfer.server.serve(PATH, transfer.stalling(), later, transfer.complete)
    transfer.break_off(signal.SIGKILL)
    resumed_at = size_of(transfer.parts())
    transfer.break_off(signal.SIGKILL, resumed_at + WORTH // 2)
    assert transfer.ranges() == [(None, None), (f"bytes={resumed_at}-", ETAG["ETag"])]
    assert len(transfer.parts()) == 1
    transfer.assert_finished(size_of(transfer.parts()), ETAG["ETag"])


def test_resume_part_is_whole(transfer: Transfer) -> None:
    """A call killed before the wheel had its name leaves nothing to be asked for, even where no tries are left."""
    transfer.break_off(signal.SIGKILL)
    (part,) = transfer.parts()
    part.write_bytes(transfer.wheel.content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELBOOT_RETRIES", "0")
        assert ensure_model(transfer.pin).downloaded_bytes == 0
    assert transfer.server.count(PATH) == 1
    assert not parts_below(transfer.target)


def test_resume_note(transfer: Transfer) -> None:
    """Beside the part lies what the server knew the file by, and nothing that is secret."""
    transfer.break_off(signal.SIGKILL)
    (note,) = transfer.target.glob(".modelboot/*.stage/*.json")
    assert json.loads(note.read_text("utf-8")) == {"validator": ETAG["ETag"]}
