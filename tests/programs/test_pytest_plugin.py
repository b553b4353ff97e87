"""The pytest plugin, in pytest runs of other projects: fixtures, options, xdist, and no trace when it is off."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.children import STUB_SPACY
from support.readme import README, blocks
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

INI = "modelboot_model = en_tiny_sm"
READER = """\
def test_reader{}(modelboot_nlp):
    assert modelboot_nlp.pipe_names == ["sentencizer"]
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def release(server: ModelServer, tiny: BuiltWheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelServer:
    """Return the server that the inner projects' pins name: it has the tiny pipeline, and an altered one."""
    server.serve("/tiny.whl", Reply(body=tiny.content))
    server.serve("/altered.whl", Reply(body=tiny.content[:-1] + b"x"))
    line = f"en_{{0}}_sm @ {server.url}/{{0}}.whl#sha256={tiny.sha256}\n"
    (tmp_path / "pins.txt").write_text("".join(map(line.format, ("tiny", "altered", "missing", "gone"))), "utf-8")
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    return server


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs pytest on a project's tests, in a process of its own with the stub of spaCy."""
    monkeypatch.setenv("PYTHONPATH", str(STUB_SPACY["PYTHONPATH"]))

    def run_project(tests: str, *arguments: str, ini: str = INI) -> pytest.RunResult:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs", *arguments)

    return run_project


def test_fixtures_in_four_workers(run: Run, release: ModelServer, tiny: BuiltWheel) -> None:
    """modelboot_nlp is the object of get_nlp, modelboot_load gives a new one; workers of xdist cost one download.

    The command line's model beats the configuration's, and excluded components are left out unless a call says else.
    """
    tests = """\
        import modelboot, pytest

        @pytest.mark.parametrize("number", range(4))
        def test_shared(modelboot_nlp, number):
            assert modelboot_nlp is modelboot.get_nlp("en_tiny_sm", exclude=["sentencizer"])

        def test_fresh(modelboot_nlp, modelboot_load):
            nlp = modelboot_load()
            nlp.add_pipe("merge_noun_chunks")
            assert nlp.pipe_names == ["merge_noun_chunks"]
            assert modelboot_load("en_tiny_sm==1.0.0").pipe_names == modelboot_nlp.pipe_names == []
            assert modelboot_load(exclude=()).pipe_names == ["sentencizer"]
    """
    release.serve("/tiny.whl", Reply(body=tiny.content, drip_bytes_per_s=2 * tiny.size_bytes))
    ini = "modelboot_model = en_unheard_of\nmodelboot_exclude = sentencizer"
    run(tests, "-n", "4", "--modelboot-model=en_tiny_sm", ini=ini).assert_outcomes(passed=5)
    assert release.count("/tiny.whl") == 1


@pytest.mark.parametrize(
    ("missing", "outcomes"),
    [("fail", {"errors": 2, "failed": 3, "passed": 1}), ("skip", {"skipped": 3, "failed": 2, "passed": 1})],
)
def test_missing_pipeline(run: Run, release: ModelServer, missing: str, outcomes: dict[str, int]) -> None:
    """A pipeline that cannot be had fails every test that needs it, or skips it where told to, after one attempt.

    Other bytes than the pinned ones, and a name that is not known, always fail. Each is told in a few lines.
    """
    calls = {"fresh": "'en_gone_sm'", "other_bytes": "'en_altered_sm'", "unknown": "'en_unheard_of'"}
    tests = "".join(f"def test_{name}(modelboot_load): modelboot_load({model})\n" for name, model in calls.items())
    tests += f"{READER.format(1)}{READER.format(2)}def test_other(): pass\n"
    done = run(tests, ini=f"modelboot_model = en_missing_sm\nmodelboot_missing = {missing}")
    done.assert_outcomes(**outcomes)
    printed = done.stdout.str()
    assert re.search("Can't find model 'en_missing_sm': could not get en_missing_sm.*404", printed)
    assert re.search("refused en_altered_sm.*: not the pinned bytes", printed)
    assert "\nhint: " in printed
    assert not re.search("Traceback|site-packages", printed.partition("short test summary")[0])
    assert release.count("/missing.whl") == 1


def test_unknown_choice_is_refused(pytester: pytest.Pytester) -> None:
    """Any other word in modelboot_missing ends the run as a usage error, before a test runs."""
    pytester.makeini("[pytest]\nmodelboot_missing = ignore\n")
    with pytest.raises(pytest.UsageError, match=r"modelboot_missing: 'ignore' is not fail or skip$"):
        pytester.parseconfigure()


def test_offline_run_asks_no_server(run: Run, release: ModelServer, pytester: pytest.Pytester) -> None:
    """--modelboot-offline holds for fixtures, for the code under test and for its subprocesses, and for no longer.

    A test that uses no fixture pays for no import but the plugin's own two modules.
    """
    tests = f"""\
import os, subprocess, sys

def test_light():
    own = {{name for name in sys.modules if name.startswith("modelboot")}}
    assert own == {{"modelboot", "modelboot.pytest_plugin"}}
    assert not {{"spacy", "urllib3", "tqdm", "filelock", "installer"}} & {{*sys.modules}}

def test_child():
    code = "import os; print(os.environ['MODELBOOT_OFFLINE'])"
    assert subprocess.check_output([sys.executable, "-c", code]).split() == [b"1"]

def test_code_under_test():
    import modelboot, pytest
    with pytest.raises(modelboot.OfflineError):
        modelboot.ensure_model("en_tiny_sm")

{READER.format("")}
"""
    pytester.makeconftest(
        "import atexit, os\natexit.register(lambda: print('afterwards:', os.environ.get('MODELBOOT_OFFLINE')))\n"
    )
    done = run(tests, "--modelboot-offline")
    done.assert_outcomes(passed=3, errors=1)
    assert done.outlines[-1] == "afterwards: None"
    assert release.requests == []


def test_switched_off_without_a_trace(run: Run) -> None:
    """With -p no:modelboot there is no fixture, no option and no module of it."""
    tests = """\
        import sys, pytest

        def test_absent(pytestconfig, request):
            assert [name for name in sys.modules if name.startswith("modelboot")] == []
            assert [option for option in vars(pytestconfig.option) if option.startswith("modelboot")] == []
            with pytest.raises(ValueError, match="unknown configuration value"):
                pytestconfig.getini("modelboot_model")
            with pytest.raises(pytest.FixtureLookupError):
                request.getfixturevalue("modelboot_nlp")
    """
    run(tests, "-p", "no:modelboot", ini="").assert_outcomes(passed=1)


@pytest.mark.index
@pytest.mark.exhaustive
def test_readme_section(
    pytester: pytest.Pytester, real_wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's configuration, tests and command line work as they stand, together."""
    (configuration,), (tests,) = (blocks("In pytest", tag) for tag in ("toml", "python"))
    (command,) = re.findall(r"`(pytest --\S[^`]*)`", README)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    pytester.makepyprojecttoml(configuration)
    pytester.makepyfile(tests)
    program, *arguments = command.split()
    assert program == "pytest"
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=2)
    assert (tmp_path / "target" / real_wheel.name).is_dir()
