"""How the command line treats people who put an option elsewhere, mistype a command, or press Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelboot.cli import main
from support.children import environment
from support.server import ModelServer, Reply
from support.sources import catalog_lines
from support.wheels import NAME, VERSION, BuiltWheel, large_wheel

Capture = pytest.CaptureFixture[str]
WAIT_S = 60


def test_bare_call_shows_the_help(capsys: Capture) -> None:
    """Without a command the help is shown, as `--help` shows it, and that is no failure."""
    assert main([]) == 0
    bare = capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert (bare.out, bare.err) == (capsys.readouterr().out, "")
    assert bare.out.startswith("usage: modelboot")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("instal", "unknown command 'instal'; did you mean install or uninstall?"),
        ("docter", "unknown command 'docter'; did you mean doctor?"),
        ("xyz", "unknown command 'xyz'; choose from install, check, list,"),
    ],
)
def test_mistyped_command(capsys: Capture, typed: str, told: str) -> None:
    """Who mistypes a command is told which one was meant, and the status is that of wrong usage."""
    with pytest.raises(SystemExit) as ended:
        main([typed])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize(
    "words",
    [
        ["--json", "--target", "here", "install", NAME],
        ["install", NAME, "--json", "--target", "here"],
        ["--target", "there", "--json", "install", NAME, "--target", "here"],
        ["--json", "install", "--target=here", NAME],
    ],
    ids=["before", "after", "both", "between"],
)
def test_options_before_or_after_the_command(
    words: Sequence[str], capsys: Capture, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that all commands have may stand on either side; the later one wins, and the variable is as it was."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    (installed,) = json.loads(capsys.readouterr().out)
    assert Path(installed["path"]).is_relative_to(tmp_path / "here")
    assert not target.exists()
    assert os.environ["MODELBOOT_TARGET"] == str(target)


@pytest.mark.parametrize("words", [["--offline", "install", NAME], ["install", NAME, "--offline"]])
def test_offline_for_one_run(
    words: Sequence[str], file_mirror: Path, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`--offline` asks no server in this run, and the next one may again."""
    assert file_mirror.is_dir()
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    assert main(words) == 1
    assert "MODELBOOT_OFFLINE" in capsys.readouterr().err
    assert not mirror.requests
    assert "MODELBOOT_OFFLINE" not in os.environ
    assert main(["install", NAME]) == 0


CHILD = """
import json, sys
from modelboot import _catalog
from modelboot.cli import main
lines = json.loads(sys.argv[1])
_catalog._lines = lambda: lines
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["install", NAME],
        ["install", NAME, f"{NAME}=={VERSION}"],
        ["install", NAME, "en_typo"],
        ["fetch", NAME, "--dest", "dest"],
        ["install", "-r", "pins.txt"],
    ],
    ids=["install", "install of two into one target", "install of a typo, too", "fetch", "pins file"],
)
def test_interrupt_says_what_is_kept(
    command: Sequence[str], server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a download is status 130 and the truth: so much is kept, and the next run goes on there."""
    wheel: BuiltWheel = large_wheel(tmp_path / "large", size_bytes=3_000_000)
    sent_bytes, kept_bytes = 2_200_000, 2_100_000  # the last chunk is not whole
    stalled = Reply(headers={"ETag": '"a"'}, body=wheel.content, ranged=True, cut_after_bytes=sent_bytes, stall="body")
    server.serve(f"/{wheel.release_path}", stalled, Reply(headers={"ETag": '"a"'}, body=wheel.content, ranged=True))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    pinned = f"{NAME} @ {server.url}/{wheel.release_path}#sha256={wheel.sha256}"
    (tmp_path / "pins.txt").write_text(pinned, "utf-8")
    line = [sys.executable, "-c", CHILD, json.dumps(catalog_lines(wheel)), *command]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment({})) as child:
        try:
            until_s = time.monotonic() + WAIT_S
            while sum(path.stat().st_size for path in tmp_path.rglob("*.whl.part")) < kept_bytes:
                assert time.monotonic() < until_s
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=WAIT_S)
        finally:
            child.kill()
    assert child.returncode == 130
    error, hint = told.splitlines()[-2:]
    assert error == "error: interrupted"
    assert re.fullmatch(r"hint: 2\.[12] MB of the download are kept; run it again to continue there", hint)
    again = subprocess.run(line, check=False, cwd=tmp_path, env=environment({}), timeout=WAIT_S)
    assert again.returncode == int("en_typo" in command)
    assert kept_bytes <= int(server.requests[-1].headers["Range"].strip("bytes=-")) <= sent_bytes
