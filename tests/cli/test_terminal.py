"""How results and messages are laid out: aligned, unbroken, and harmless to the terminal that shows them."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import pytest

from modelboot import ModelPin, ensure_model
from support.commands import output, reference, run
from support.wheels import VERSION

TOKENS = [
    ("Apple", "PROPN", "NNP", "nsubj", "ORG"),
    ("日本語", "NOUN", "NN", "obj", ""),
    ("ﾊﾝ", "X", "FW", "", ""),
    ("e\u0301te\u0301", "NOUN", "NN", "", ""),
    ("हिन्दी", "NOUN", "NN", "", ""),
    ("か\u3099", "ADP", "IN", "", ""),
]
"""Texts and annotations: characters of one and of two columns, and marks that take none."""
ALIGNED = """\
  token   pos    tag  dep    entity
  Apple   PROPN  NNP  nsubj  ORG
  日本語  NOUN   NN   obj
  ﾊﾝ      X      FW
  e\u0301te\u0301     NOUN   NN
  हिन्दी   NOUN   NN
  か\u3099      ADP    IN
"""


def reading(monkeypatch: pytest.MonkeyPatch, tokens: list[tuple[str, str, str, str, str]]) -> None:
    """Let spaCy load a pipeline that reads these tokens in every text."""
    names = ("text", "pos_", "tag_", "dep_", "ent_type_")
    doc = [Mock(**dict(zip(names, token, strict=True))) for token in tokens]
    nlp = Mock(return_value=doc, lang="en", pipe_names=["tagger", "parser", "ner"], meta={"version": VERSION})
    monkeypatch.setattr("spacy.load", Mock(return_value=nlp))


def test_report_of_a_check(pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is this text; wide characters take two columns, combining marks none."""
    reading(monkeypatch, TOKENS)
    title, pipeline, spacy, *facts, seconds = output("check", reference(pin)).partition("\n\n")[0].splitlines()
    assert (title, pipeline) == (str(pin), "  pipeline  tagger, parser, ner")
    assert spacy == f"  spaCy     {version('spacy')}"
    assert facts == ["  source    release", f"  sha256    {pin.sha256}", f"  folder    {target}"]
    assert re.fullmatch(r"  seconds   find \d+\.\d\d, .*, parse \d+\.\d\d", seconds)
    assert output("check", reference(pin)).endswith(f"\n\n  Who is the president of France?\n\n{ALIGNED}")


def test_columns_that_say_nothing_are_left_out(pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that is empty in every row is not there, nor are tags that are the parts of speech again."""
    reading(monkeypatch, [("Apple", "PROPN", "PROPN", "", "ORG"), ("cherche", "VERB", "VERB", "", "")])
    shown = "\n\n  token    pos    entity\n  Apple    PROPN  ORG\n  cherche  VERB\n"
    assert output("check", reference(pin)).endswith(shown)


@pytest.mark.parametrize(
    ("env", "is_bold"),
    [({}, True), ({"COLUMNS": ""}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)],
    ids=["terminal", "file", "dumb terminal", "no colour wanted"],
)
def test_title_is_bold_on_a_terminal(
    env: dict[str, str], pin: ModelPin, monkeypatch: pytest.MonkeyPatch, *, is_bold: bool
) -> None:
    """The title of a report is bold where stdout is a terminal that can show it and its user does not object."""
    reading(monkeypatch, TOKENS)
    out = run("check", reference(pin), **{"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "", **env}).out
    assert out.startswith(f"\x1b[1m{pin}\x1b[0m\n" if is_bold else f"{pin}\n")


def test_paths_are_not_broken(pin: ModelPin, target: Path) -> None:
    """Where a terminal would break a line its last column goes below, indented; in a file each line stays one."""
    ensure_model(pin)
    line = f"{pin}  intact  {target}"
    assert run("verify").out == run("verify", COLUMNS=str(len(line))).out == f"{line}\n"
    assert run("verify", COLUMNS=str(len(line) - 1)).out == f"{pin}  intact\n  {target}\n"


def test_report_breaks_between_words(pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal the facts of a report go on below, and neither a hash nor a path is broken."""
    reading(monkeypatch, TOKENS)
    lines = [line.strip() for line in run("check", reference(pin), COLUMNS="40").out.splitlines()]
    assert {pin.sha256, str(target)} <= {*lines}
    assert all(len(line) <= 40 for line in lines if " " in line and line != str(target))


def test_messages_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log, error and hint break between words, and a line of the log takes the place of a bar that stands there."""
    monkeypatch.chdir(tmp_path)
    Path("pins.txt").write_text("# none\n")
    log = run("install", "-r", "pins.txt", COLUMNS="30").err
    assert log == f"\r{' ' * 29}\rwarning: nothing to install:\n  no model in pins.txt\n"
    lines = run("install", "en_none", COLUMNS="30").err.splitlines()
    assert max(map(len, lines)) <= 30
    assert lines[:2] == ["error: Can't find model", "    'en_none': the catalog has"]
