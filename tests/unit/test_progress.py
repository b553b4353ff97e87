"""What a person sees while a wheel is on its way: on a terminal, in a file, in the log."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from modelboot._progress import make_progress
from support.commands import Terminal

LABEL, WAIT = "en_x 1.0.0", "trying again in 1.0 s"


def lines(terminal: Terminal) -> list[str]:
    """Return what stands on a terminal: what is written behind a carriage return covers what was there."""
    rows = []
    for line in terminal.getvalue().split("\n"):
        row = ""
        for text in line.split("\r"):
            row = text + row[len(text) :]
        rows.append(row.rstrip())
    return rows


START = ("start", LABEL, 1_000_000, 250_000)
SHOWN: dict[str, tuple[list[tuple[Any, ...]], list[str]]] = {
    "a bar names the model, and how much of how much has come": (
        [START, ("advance", 250_000)],
        [rf"{LABEL}:  (25%.* 250k|50%.* 500k)/1.00M "],  # what came is drawn ten times a second at most
    ),
    "a body of unknown size has a bar without an end": ([("start", LABEL, None, 0)], [f"{LABEL}: 0.00B "]),
    "a wait stands above the bar": ([START, ("note", WAIT), ("start", LABEL, 1000, 500)], [WAIT, rf"{LABEL}:  50%"]),
    "a wait before the first byte": ([("note", WAIT)], [f"{WAIT}$", "$"]),
    "what failed before it began": ([("advance", 1)], ["$"]),
    "who is asked": ([("ask", LABEL, "index")], [f"{LABEL}: asking index$"]),
    "who was asked, once there is an answer": ([("ask", LABEL, "index"), START], [f"{LABEL}:  25%"]),
}


@pytest.mark.parametrize(("calls", "patterns"), SHOWN.values(), ids=SHOWN)
def test_terminal_shows(
    calls: list[tuple[Any, ...]],
    patterns: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A terminal shows what is waited for and a bar, on stderr alone; closed, also twice, the bar is gone."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "100")
    progress = make_progress(None)
    for name, *arguments in calls:
        getattr(progress, name)(*arguments)
    shown = lines(terminal)
    assert [bool(re.match(pattern, line)) for pattern, line in zip(patterns, shown, strict=True)] == [True] * len(shown)
    progress.close()
    progress.close()
    assert lines(terminal) == [*shown[:-1], ""]
    assert capsys.readouterr().out == ""


def test_log_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal the log has a line for each source, start and wait, and nothing is printed."""
    caplog.set_level(logging.INFO, "modelboot")
    progress = make_progress(None)
    progress.ask(LABEL, "index")
    progress.start(LABEL, 12_806_118, 0)
    progress.advance(1000)
    progress.note(WAIT)
    progress.start(LABEL, 12_806_118, 5_000_000)
    progress.start(LABEL, None, 0)
    progress.close()
    assert caplog.messages == [
        f"{LABEL}: asking index",
        f"downloading {LABEL} (12.8 MB)",
        WAIT,
        f"downloading {LABEL} (12.8 MB, 5.0 MB already here)",
        f"downloading {LABEL} (unknown size)",
    ]
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert capsys.readouterr() == ("", "")


def closed_file() -> io.StringIO:
    """Return a stderr that a daemon has closed."""
    file = io.StringIO()
    file.close()
    return file


def window() -> Mock:
    """Return what a program without a console puts in the place of stderr: it shows what is written, and no more."""
    return Mock(spec=["write", "flush"])


STDERR: dict[str, Callable[[], Any]] = {
    "terminal": Terminal,
    "file": io.StringIO,
    "can only write": window,
    "none": lambda: None,
    "closed": closed_file,
}
BARS = {("terminal", None), ("terminal", True), ("file", True), ("can only write", True)}


@pytest.mark.parametrize("wanted", [None, True, False], ids=["auto", "wanted", "unwanted"])
@pytest.mark.parametrize("kind", STDERR)
def test_bar_or_log(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, wanted: bool | None
) -> None:
    """A bar is drawn on a terminal, and where one is asked for and can be seen; else the log has the lines."""
    caplog.set_level(logging.INFO, "modelboot")
    monkeypatch.setattr(sys, "stderr", stderr := STDERR[kind]())
    progress = make_progress(wanted)
    progress.start(LABEL, 1000, 0)
    progress.note(WAIT)
    progress.advance(1000)
    progress.close()
    shown = stderr.getvalue() if kind in {"terminal", "file"} else str(getattr(stderr, "mock_calls", ""))
    assert (f"{LABEL}:   0%" in shown, WAIT in shown) == ((kind, wanted) in BARS, (kind, wanted) in BARS)
    assert caplog.messages == ([] if (kind, wanted) in BARS else [f"downloading {LABEL} (0.0 MB)", WAIT])
