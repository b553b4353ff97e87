"""What a person sees while a wheel is on its way."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from modelboot._progress import make_progress
from modelboot._settings import Settings


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of stderr; not in a fixture, since pytest puts its own there after the setup."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("COLUMNS", "100")
    return found


@pytest.fixture
def auto(settings: Settings) -> Settings:
    """Return settings that draw a bar where one can be seen."""
    return settings._replace(progress=None)


def test_bar_on_terminal(monkeypatch: pytest.MonkeyPatch, auto: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar names the model and how much of how much has come, on stderr alone."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.start("en_x 1.0.0", 1_000_000, 250_000)
    progress.advance(250_000)
    assert "en_x 1.0.0:  25%" in terminal.getvalue()
    assert "250k/1.00M" in terminal.getvalue()
    progress.close()
    assert capsys.readouterr().out == ""


def test_bar_leaves_terminal_clean(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """A bar that is closed leaves an empty line, wherever it was interrupted; to close it again does nothing."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.start("en_x 1.0.0", 1000, 0)
    progress.advance(10)
    progress.close()
    end = terminal.getvalue()
    assert end.endswith("\r")
    assert not end.split("\r")[-2].strip()
    progress.close()
    assert terminal.getvalue() == end


def test_bar_note_above(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """What is waited for stands on a line of its own above the bar, which is drawn again below."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.start("en_x 1.0.0", 1000, 0)
    progress.note("trying again in 1.0 s")
    progress.start("en_x 1.0.0", 1000, 500)
    lines = terminal.getvalue().split("\n")
    progress.close()
    assert lines[0].endswith("\rtrying again in 1.0 s")
    assert "en_x 1.0.0:  50%" in lines[-1]


def test_bar_of_unknown_size(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """A body of unknown length has a bar without an end."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.start("en_x 1.0.0", None, 0)
    progress.close()
    assert "en_x 1.0.0: 0.00B" in terminal.getvalue()


def test_bar_without_start(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """A transfer that failed before it began has drawn nothing."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.advance(1)
    progress.close()
    assert terminal.getvalue() == ""


def test_bar_note_before_start(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """A wait before the first byte is told, too."""
    terminal = on_terminal(monkeypatch)
    make_progress(auto.progress).note("trying again in 1.0 s")
    assert terminal.getvalue() == "trying again in 1.0 s\n"


def test_line_where_there_is_no_terminal(
    auto: Settings, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody watches, the log has one line at the start and one a wait, and nothing is printed."""
    caplog.set_level(logging.INFO, "modelboot")
    progress = make_progress(auto.progress)
    progress.start("en_x 1.0.0", 12_806_118, 0)
    progress.advance(1000)
    progress.note("trying again in 1.0 s")
    progress.start("en_x 1.0.0", 12_806_118, 5_000_000)
    progress.start("en_x 1.0.0", None, 0)
    progress.close()
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("modelboot._progress", "INFO", "downloading en_x 1.0.0 (12.8 MB)"),
        ("modelboot._progress", "INFO", "trying again in 1.0 s"),
        ("modelboot._progress", "INFO", "downloading en_x 1.0.0 (12.8 MB, 5.0 MB already here)"),
        ("modelboot._progress", "INFO", "downloading en_x 1.0.0 (unknown size)"),
    ]
    assert capsys.readouterr() == ("", "")


def test_bar_switched_on(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """MODELBOOT_PROGRESS=1 draws a bar into a file as well."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    progress = make_progress(auto._replace(progress=True).progress)
    progress.start("en_x 1.0.0", 1000, 0)
    progress.close()
    assert "en_x 1.0.0:   0%" in stderr.getvalue()


def test_bar_switched_off(monkeypatch: pytest.MonkeyPatch, auto: Settings) -> None:
    """MODELBOOT_PROGRESS=0 draws none on a terminal."""
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto._replace(progress=False).progress)
    progress.start("en_x 1.0.0", 1000, 0)
    progress.note("trying again in 1.0 s")
    progress.close()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("progress", [True, None], ids=["wanted", "auto"])
@pytest.mark.parametrize("stderr", ["none", "closed"])
def test_line_where_there_is_no_stderr(
    auto: Settings, monkeypatch: pytest.MonkeyPatch, stderr: str, *, progress: bool | None
) -> None:
    """A daemon without a stderr, or with a closed one, is no reason to fail."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stderr == "none" else closed)
    shown = make_progress(auto._replace(progress=progress).progress)
    shown.start("en_x 1.0.0", 1000, 0)
    shown.note("trying again in 1.0 s")
    shown.close()
    assert type(shown).__name__ == "_LogLine"


class Window:
    """What a program without a console puts in the place of stderr: it shows what is written, and can do no more."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self.shown = ""

    def write(self, text: str) -> int:
        """Show a text."""
        self.shown += text
        return len(text)

    def flush(self) -> None:
        """Do nothing: it is shown already."""


@pytest.mark.parametrize("wanted", [True, None], ids=["wanted", "auto"])
def test_stderr_that_can_only_write(auto: Settings, monkeypatch: pytest.MonkeyPatch, *, wanted: bool | None) -> None:
    """It is no terminal, so that a bar is drawn there only where one is asked for."""
    window = Window()
    monkeypatch.setattr(sys, "stderr", window)
    progress = make_progress(auto._replace(progress=wanted).progress)
    progress.ask("en_x 1.0.0", "release")
    progress.start("en_x 1.0.0", 1000, 0)
    progress.note("trying again in 1.0 s")
    progress.advance(1000)
    progress.close()
    assert ("en_x 1.0.0:   0%" in window.shown) is (wanted is True)
    assert (window.shown == "") is (wanted is None)


def test_source_is_told_before_the_wait(
    monkeypatch: pytest.MonkeyPatch, auto: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is asked for what stands on the terminal, or in the log, while nothing has come yet, and then goes."""
    caplog.set_level(logging.INFO, "modelboot")
    make_progress(wanted=False).ask("en_x 1.0.0", "index (pip download)")
    assert caplog.messages == ["en_x 1.0.0: asking index (pip download)"]
    terminal = on_terminal(monkeypatch)
    progress = make_progress(auto.progress)
    progress.ask("en_x 1.0.0", "index (pip download)")
    assert terminal.getvalue().endswith("en_x 1.0.0: asking index (pip download)")
    progress.start("en_x 1.0.0", 1000, 0)
    assert "en_x 1.0.0:   0%" in terminal.getvalue()
    progress.close()
    assert not terminal.getvalue().split("\r")[-2].strip()
