"""Tables are aligned as a terminal shows them, and results are printed as they come."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot.cli.output import fit_columns, log_to_stderr, print_each, print_result, table, words, wrap


@pytest.mark.parametrize(
    ("cell", "drawn"),
    [
        ("abc", "abc     |"),
        ("日本語", "日本語  |"),
        ("ﾊﾝ", "ﾊﾝ      |"),
        ("한국어", "한국어  |"),
        ("e\u0301te\u0301", "e\u0301te\u0301     |"),
        ("हिन्दी", "हिन्दी   |"),
        ("か\u3099", "か\u3099      |"),
    ],
    ids=["latin", "japanese", "halfwidth", "korean", "combining accents", "vowel signs", "voiced mark"],
)
def test_table_width(cell: str, drawn: str) -> None:
    """Columns stay aligned: wide characters take two columns, combining marks none."""
    head, row, _ = table(("token", "pos"), [(cell, "|"), ("123456", "|")])
    assert head == "token   pos"
    assert row == drawn


def test_table_empty_columns() -> None:
    """A column that is empty in every row is left out, head and all; one that is not stays."""
    rows = [("one", "", "", "x"), ("two", "", "y", "")]
    assert table(("a", "b", "c", "d"), rows) == ["a    c  d", "one     x", "two  y"]


def counted(capsys: pytest.CaptureFixture[str], seen: list[str]) -> Iterator[int]:
    """Yield numbers, and note before each what has been printed so far."""
    for number in (1, 2):
        seen.append(capsys.readouterr().out)
        yield number


def test_print_each_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """As text each result is a line, printed before the next is worked on."""
    seen: list[str] = []
    print_each(counted(capsys, seen), as_json=False, line=lambda number: f"line {number}", facts=str)
    assert [*seen, capsys.readouterr().out] == ["", "line 1\n", "line 2\n"]


def test_print_each_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON all results are one list, printed at the end; a path is its text."""
    seen: list[str] = []
    print_each(counted(capsys, seen), as_json=True, line=str, facts=lambda number: {"path": Path(f"/{number}")})
    assert seen == ["", ""]
    assert json.loads(capsys.readouterr().out) == [{"path": "/1"}, {"path": "/2"}]


@pytest.mark.parametrize(
    ("terminal", "environment", "title"),
    [
        (True, {}, "\x1b[1mtitle\x1b[0m"),
        (False, {}, "title"),
        (True, {"TERM": "dumb"}, "title"),
        (True, {"NO_COLOR": "1"}, "title"),
    ],
    ids=["terminal", "file", "dumb terminal", "no colour wanted"],
)
def test_print_result_title(
    terminal: bool,  # noqa: FBT001 - a column
    environment: dict[str, str],
    title: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A title is bold where stdout is a terminal that can show it and its user does not object."""
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.setenv(name, environment.get(name, ""))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_result(as_json=False, text="title\nrest", facts=None, has_title=True)
    assert capsys.readouterr().out == f"{title}\nrest\n"


def test_print_result_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """What a terminal would obey is shown instead, whoever named the file; text of any script stays as it is."""
    print_result(as_json=False, text="a\x1b[2Jb\x9bc\rd\udc80\nनी あ ä", facts=None)
    assert capsys.readouterr().out == "a\\x1b[2Jb\\x9bc d\\udc80\nनी あ ä\n"


def test_table_of_numbers() -> None:
    """Sizes stand at the right, so that the larger one is seen at once."""
    assert table(("name", "size", "sha256"), [("a", "9 MB", "x"), ("b", "10 MB", "y")]) == [
        "name   size  sha256",
        "a      9 MB  x",
        "b     10 MB  y",
    ]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (None, ["one    /a/long/path", "three  /b"]),
        (19, ["one    /a/long/path", "three  /b"]),
        (18, ["one\n  /a/long/path", "three\n  /b"]),
    ],
    ids=["file", "wide terminal", "narrow terminal"],
)
def test_columns_fit_a_terminal(columns: int | None, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a terminal would break a line, its last column goes below; in a file each line stays one."""
    _terminal(monkeypatch, columns)
    assert fit_columns([("one", "/a/long/path"), ("three", "/b")]) == lines


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (30, ["head  some words /a/long/path"]),
        (20, ["head  some words", "      /a/long/path"]),
        (16, ["head", "    some words", "    /a/long/path"]),
        (9, ["head", "    some", "    words", "    /a/long/path"]),
    ],
)
def test_wrap(width: int, lines: list[str]) -> None:
    """Lines break between pieces alone, and go on where the first of them began, or further to the left."""
    assert wrap("head  ", words("some words /a/long/path"), width) == lines


def test_log_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the log takes the place of a bar that stands there, and breaks between words."""
    _terminal(monkeypatch, 20)
    logger = logging.getLogger("modelboot")
    handlers, level = logger.handlers, logger.level
    try:
        log_to_stderr(logging.INFO)
        logger.info("%s", "a b\x1b[2J c /a/long/path d")
    finally:
        logger.handlers = handlers
        logger.setLevel(level)
    assert capsys.readouterr().err == f"\r{' ' * 19}\rinfo: a b\\x1b[2J c\n  /a/long/path d\n"


def _terminal(monkeypatch: pytest.MonkeyPatch, columns: int | None) -> None:
    """Let stdout and stderr be a terminal of so many columns, or a file."""
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: columns is not None)
    monkeypatch.setenv("COLUMNS", str(columns or ""))
