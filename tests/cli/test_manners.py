"""How the command line treats people who put an option elsewhere or give no command."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelboot.cli import main
from support.server import ModelServer
from support.wheels import NAME

Capture = pytest.CaptureFixture[str]


def test_bare_call_shows_the_help(capsys: Capture) -> None:
    """Without a command the help is shown, as `--help` shows it, and that is no failure."""
    assert main([]) == 0
    bare = capsys.readouterr()
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    assert (bare.out, bare.err) == (capsys.readouterr().out, "")
    assert bare.out.startswith("usage: modelboot")


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
