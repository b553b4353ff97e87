"""What README.md says is so: its examples run, its commands and tables are the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import modelboot
from modelboot._settings import VARIABLES, Settings
from support.children import STUB_SPACY
from support.commands import output, reference
from support.readme import README, all_blocks, table
from support.real import NAME, VERSION
from support.server import ModelServer
from support.wheels import BuiltWheel, build_wheel

TESTS = Path(__file__).parent
SETUP = [
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/modelboot check fr_core_news_sm\n",
    "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest\n",
]
PYTHON = all_blocks("python")
# Tests among the examples are run by programs/test_pytest_plugin.py, those for clusters by test_dask.py, test_spark.py.
RUN = [text for text in PYTHON if not re.search("def test_|distributed|spark", text)]


@pytest.fixture
def _french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pipeline of the tests stand in for the official French one, which the examples name."""
    wheel = build_wheel(tmp_path / "wheels", name=NAME, version=VERSION, lang="fr")
    (tmp_path / "pins.txt").write_text(reference(wheel.pin))
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))


def test_readme_is_short_and_its_blocks_are_tagged() -> None:
    """People read it to the end; no block is left out of the tests for want of a tag, or for a tag they do not know."""
    assert len(README.splitlines()) <= 300
    tags = re.findall(r"^```(\w*)$", README, re.MULTILINE)
    assert tags[1::2] == [""] * (len(tags) // 2)
    assert set(tags[::2]) == {"sh", "text", "diff", "python", "toml", "yaml"}


@pytest.mark.parametrize("text", PYTHON)
def test_readme_example_compiles(text: str) -> None:
    """Whether it is run or not, it is Python and imports what there is."""
    compile(text, "README.md", "exec")
    imported = re.findall(r"^from modelboot import (.+)$", text, re.MULTILINE)
    assert {name.strip() for names in imported for name in names.split(",")} <= set(modelboot.__all__)


@pytest.mark.parametrize("text", RUN)
@pytest.mark.usefixtures("_french")
def test_readme_example_runs(text: str, target: Path) -> None:
    """It does what it shows, and what it defines can be used."""
    defined: dict[str, Any] = {}
    exec(text, defined)  # noqa: S102 - README's own
    if "words" in defined:
        assert defined["words"]("Elle dort.") == ["Elle", "dort", "."]
    assert (target / NAME).is_dir()


@pytest.mark.usefixtures("_french")
def test_readme_switch_from_spacy_load() -> None:
    """The code before and after the switch gives the same pipeline; each has at most six lines."""
    ((shown),) = all_blocks("diff")
    seen = []
    for sign in "+-":  # the new one first, as it installs the pipeline
        lines = [line[1:] for line in shown.splitlines() if line[0] in {sign, " "}]
        assert len(lines) <= 6
        defined: dict[str, Any] = {}
        exec("\n".join(lines), defined)  # noqa: S102 - README's own
        seen.append((defined["nlp"].meta, defined["nlp"].pipe_names))
    assert seen[0] == seen[1]


def _shell(commands: str, cwd: Path) -> str:
    """Run commands in a shell that finds those of this environment, and return what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(STUB_SPACY["PYTHONPATH"])}
    line = ["bash", "-euc", commands]
    done = subprocess.run(line, check=False, capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_pipeline_of_your_own(tmp_path: Path) -> None:
    """With a wheel of the tests' own in the place of its example, it is pinned, installed and loaded."""
    (commands,) = [text for text in all_blocks("sh") if "file://" in text]
    ((url, name, version),) = re.findall(r"(file://\S+/(\w+)-([\d.]+)-py3-none-any\.whl)", commands)
    wheel = build_wheel(tmp_path / "models", name=name, version=version)
    assert _shell(commands.replace(url, wheel.url), tmp_path).splitlines()[-1] == version
    assert (tmp_path / "pins.txt").read_text("utf-8") == f"{reference(wheel.pin)}\n"


def test_readme_ci_keeps_wheels(
    wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer
) -> None:
    """The folder that it keeps between runs is the one that wheels are kept in."""
    (steps,) = all_blocks("yaml")
    ((kept,), (command,)) = (re.findall(pattern, steps) for pattern in (r"path: ~/([^,]+),", r"run: (.+)"))
    (tmp_path / "pins.txt").write_text(reference(server.publish(wheel)), "utf-8")
    for variable in ("MODELBOOT_HOME", "MODELBOOT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    _shell(command, tmp_path)
    assert [*(tmp_path / "home" / kept).rglob(f"*{wheel.sha256}*")]


@pytest.mark.index
def test_readme_report_has_the_programs_lines(real_wheel: BuiltWheel) -> None:
    """The lines it shows of the report of `check` are in the program's, in that order."""
    ((shown),) = all_blocks("text")
    printed, at = output("check", NAME, MODELBOOT_WHEELHOUSE=str(real_wheel.path.parent), MODELBOOT_INDEX="0"), 0
    for line in shown.splitlines():
        if line != "  …":
            at = printed.index(f"{line}\n", at) + len(line)


def test_readme_gives_the_two_set_up_commands() -> None:
    """Each stands on one line in a block of its own, word for word, and no other command sets anything up."""
    assert [text for text in all_blocks("sh") if "venv" in text] == SETUP


def test_readme_table_of_settings_is_complete() -> None:
    """Its rows are the variables that are read, each with its meaning and its default."""
    in_words = {
        "MODELBOOT_BASE_URL": "the official release",
        "MODELBOOT_TARGET": "chosen as above",
        "MODELBOOT_HOME": "`modelboot` in the user's cache folder",
    }
    defaults = {each.name: each.show(getattr(Settings(), each.field)) for each in VARIABLES} | in_words
    assert table("variable") == [[f"`{each.name}`", each.meaning, defaults[each.name]] for each in VARIABLES]


def test_readme_table_of_commands_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are the program's commands, in the order of its help and in its words, with options that there are."""
    monkeypatch.setenv("COLUMNS", "200")
    rows = [(row[0].strip("`"), row[1]) for row in table("command")]
    commands = re.findall(r"^    (\w+) +(.+)$", output("--help"), re.MULTILINE)
    assert [form.split()[:2] for form, _ in rows] == [["modelboot", name] for name, _ in commands]
    for (name, does), (form, told) in zip(commands, rows, strict=True):
        usage = output(name, "--help").partition("\n\n")[0]
        assert told.startswith(does)
        assert set(re.findall(r"--[a-z]+|MODEL|PATTERN", f"{form} {told}")) <= set(re.findall(r"--[a-z]+|\w+", usage))
        for pattern in ("MODEL", r"(?<!\[)MODEL"):  # it takes one; it needs one
            assert bool(re.search(pattern, usage)) == bool(re.search(pattern, form))


def test_readme_table_of_errors_is_complete() -> None:
    """Its rows are the public errors; the root of them stands above it."""
    public = [getattr(modelboot, name) for name in modelboot.__all__]
    errors = {item.__name__ for item in public if isinstance(item, type) and issubclass(item, Exception)}
    assert errors - {"ModelbootError"} == {row[0].strip("`") for row in table("error")}
    assert "`ModelbootError`" in README


def test_readme_table_of_reliability_names_tests() -> None:
    """Every test it credits with its counts is there."""
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", README)
    assert [file for file, _ in named] == ["test_sweeps.py", "test_watcher.py", "test_no_locks.py", "test_processes.py"]
    for file, test in named:
        assert f"def {test}" in (TESTS / "promises" / file).read_text("utf-8")
