"""What a person sees while a wheel is on its way: on a terminal, in a file, in the log."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

import pytest

from modelboot._progress import make_progress

LABEL, WAIT = "en_x 1.0.0", "trying again in 1.0 s"


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True

    def lines(self) -> list[str]:
        """Return what stands on it: what is written behind a carriage return covers what was there."""
        rows = []
        for line in self.getvalue().split("\n"):
            row = ""
            for text in line.split("\r"):
                row = text + row[len(text) :]
            rows.append(row.rstrip())
        return rows


class Window:
    """What a program without a console puts in the place of stderr: it shows what is written, and can do no more."""

    shown = ""

    def write(self, text: str) -> int:
        """Show a text."""
        self.shown += text
        return len(text)

    def flush(self) -> None:
        """Do nothing: it is shown already."""

    def getvalue(self) -> str:
        """Return what is shown."""
        return self.shown


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of stderr; not in a fixture, since pytest puts its own there after the setup."""
    monkeypatch.setattr(sys, "stderr", found := Terminal())
    monkeypatch.setenv("COLUMNS", "100")
    return found


def test_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar names the model and how much of how much has come, on stderr alone; closed, also twice, it is gone."""
    terminal, progress = on_terminal(monkeypatch), make_progress(None)
    progress.start(LABEL, 1_000_000, 250_000)
    progress.advance(250_000)
    (line,) = terminal.lines()
    assert line.startswith(f"{LABEL}:  25%")
    assert "250k/1.00M" in line
    for _ in range(2):
        progress.close()
        assert terminal.lines() == [""]
    assert capsys.readouterr().out == ""


def test_terminal_shows_a_wait_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for stands on a line of its own above the bar, which is drawn again below."""
    terminal, progress = on_terminal(monkeypatch), make_progress(None)
    progress.start(LABEL, 1000, 0)
    progress.note(WAIT)
    progress.start(LABEL, 1000, 500)
    first, second = terminal.lines()
    progress.close()
    assert first == WAIT
    assert second.startswith(f"{LABEL}:  50%")


def test_terminal_shows_a_body_of_unknown_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of unknown length has a bar without an end."""
    terminal, progress = on_terminal(monkeypatch), make_progress(None)
    progress.start(LABEL, None, 0)
    assert terminal.lines()[0].startswith(f"{LABEL}: 0.00B")
    progress.close()


def test_terminal_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer that failed before it began has drawn nothing; a wait before the first byte is told."""
    terminal, progress = on_terminal(monkeypatch), make_progress(None)
    progress.advance(1)
    progress.close()
    assert terminal.lines() == [""]
    progress.note(WAIT)
    assert terminal.lines() == [WAIT, ""]


def test_terminal_shows_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked for what stands on the terminal while nothing has come yet; the bar takes its place."""
    terminal, progress = on_terminal(monkeypatch), make_progress(None)
    progress.ask(LABEL, "index")
    assert terminal.lines() == [f"{LABEL}: asking index"]
    progress.start(LABEL, 1000, 0)
    assert terminal.lines()[0].startswith(f"{LABEL}:   0%")
    progress.close()
    assert terminal.lines() == [""]


def test_log_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody watches, the log has a line for each source, start and wait, and nothing is printed."""
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


STDERR: dict[str, Callable[[], io.StringIO | Window | None]] = {
    "terminal": Terminal,
    "file": io.StringIO,
    "can only write": Window,
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
    shown = stderr.getvalue() if stderr and kind != "closed" else ""
    assert (f"{LABEL}:   0%" in shown, WAIT in shown) == ((kind, wanted) in BARS, (kind, wanted) in BARS)
    assert caplog.messages == ([] if (kind, wanted) in BARS else [f"downloading {LABEL} (0.0 MB)", WAIT])
