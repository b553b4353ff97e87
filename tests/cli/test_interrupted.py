"""Commands that are ended in the middle of a download: what they say, what they leave, and what the next one does."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from support.children import command, environment
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, BuiltWheel, large_wheel

HANG_S = 60
SENT_BYTES, WORTH_KEEPING_BYTES = 2_200_000, 2_100_000  # the last chunk is not whole
# A shell that runs the tests in the background has them, and so their children, ignore SIGINT.
MAIN = """
import signal, sys
from modelboot.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def large(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltWheel:
    """Return a wheel of 3 MB; the first to ask for it gets two thirds and then nothing, the next all they ask for."""
    wheel = large_wheel(tmp_path / "large", size_bytes=3_000_000)
    whole = Reply(headers={"ETag": '"a"'}, body=wheel.content, ranged=True)
    stalled = Reply(headers={"ETag": '"a"'}, body=wheel.content, cut_after_bytes=SENT_BYTES, stall="body")
    pin = server.publish(wheel, stalled, whole)
    (tmp_path / "pins.txt").write_text(f"{NAME} @ {pin.url}#sha256={pin.sha256}", "utf-8")
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))
    monkeypatch.chdir(tmp_path)
    return wheel


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(command(MAIN, *words), stderr=subprocess.PIPE, text=True, env=environment({}))


def wait_until_saved(folder: Path, child: subprocess.Popen[str], *, size_bytes: int) -> None:
    """Wait until a file below a folder has so many bytes."""
    for _ in range(HANG_S * 100):
        with suppress(FileNotFoundError):  # it was renamed between two looks at it
            if any(path.is_file() and path.stat().st_size >= size_bytes for path in folder.rglob("*")):
                return
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.01)  # the pause between two looks
    pytest.fail("nothing was saved")


@pytest.mark.parametrize(
    "words",
    [
        ["install", NAME],
        ["install", NAME, f"{NAME}=={VERSION}"],
        ["install", NAME, "en_typo"],
        ["fetch", NAME, "--dest", "target"],
        ["install", "-r", "pins.txt"],
    ],
    ids=["install", "install of two into one target", "install of a typo, too", "fetch", "pins file"],
)
@pytest.mark.usefixtures("large")
def test_interrupt_says_what_is_kept(words: Sequence[str], server: ModelServer, target: Path) -> None:
    """Ctrl-C in a download is status 130 and the truth: so much is kept, and the next run goes on there."""
    with started(words) as child:
        try:
            wait_until_saved(target, child, size_bytes=WORTH_KEEPING_BYTES)
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=HANG_S)
        finally:
            child.kill()
    assert child.returncode == 130
    error, hint = told.splitlines()[-2:]
    assert error == "error: interrupted"
    assert re.fullmatch(r"hint: 2\.[12] MB of the download are kept; run it again to continue there", hint)
    with started(words) as again:
        again.communicate(timeout=HANG_S)
    assert again.returncode == int("en_typo" in words)
    assert WORTH_KEEPING_BYTES <= int(server.requests[-1].headers["Range"].strip("bytes=-")) <= SENT_BYTES


def test_interrupt_of_a_small_download(wheel: BuiltWheel, server: ModelServer, target: Path) -> None:
    """Of a small wheel nothing is kept, and that is said."""
    pin = server.publish(wheel, Reply(body=wheel.content, stall="body"))
    with started(["fetch", f"{NAME} @ {pin.url}#sha256={pin.sha256}", "--dest", str(target)]) as child:
        try:
            assert server.wait_for(f"/{wheel.path.name}")
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=HANG_S)
        finally:
            child.kill()
    assert child.returncode == 130
    assert told.splitlines()[-2:] == ["error: interrupted", "hint: nothing unfinished was left; run it again"]
    assert not target.exists()


def test_fetch_goes_on_after_a_kill(large: BuiltWheel, server: ModelServer, target: Path) -> None:
    """What a killed fetch left in DIR is completed, not fetched again, and nothing else of it stays there."""
    words = ["fetch", NAME, "--dest", str(target)]
    with started(words) as child:
        try:
            wait_until_saved(target, child, size_bytes=WORTH_KEEPING_BYTES)
        finally:
            child.kill()
    with started(words) as again:
        again.communicate(timeout=HANG_S)
    assert again.returncode == 0
    first, second = server.requests
    assert "Range" not in first.headers
    assert int(second.headers["Range"].strip("bytes=-")) >= WORTH_KEEPING_BYTES
    in_tree = target / large.release_path
    assert in_tree.read_bytes() == large.content
    assert sorted(target.rglob("*")) == [in_tree.parent, in_tree, target / in_tree.name]
