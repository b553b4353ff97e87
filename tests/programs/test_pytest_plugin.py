"""The pytest plugin, in pytest runs of other projects: fixtures, options, xdist, and no trace when it is off."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.readme import README, blocks
from support.server import ModelServer, Reply
from support.sources import catalog_lines
from support.wheels import BuiltWheel

CATALOG = """\
import json
from modelboot import _catalog

_catalog._lines = lambda: json.loads({lines!r})
"""
READERS = """\
def test_reader(modelboot_nlp):
    assert modelboot_nlp.pipe_names == ["sentencizer"]
"""
Project = Callable[..., pytest.RunResult]


@pytest.fixture
def release(server: ModelServer, tiny: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Return the mirror of the inner projects, which has a tiny pipeline that loads."""
    server.serve(f"/{tiny.release_path}", Reply(body=tiny.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    return server


@pytest.fixture
def run(pytester: pytest.Pytester, tiny: BuiltWheel) -> Project:
    """Return what runs pytest, in a process of its own, in a project whose tests know the tiny pipeline alone."""

    def run_project(tests: str, *arguments: str, ini: str = "modelboot_model = en_tiny_sm") -> pytest.RunResult:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makeconftest(CATALOG.format(lines=json.dumps(catalog_lines(tiny))))
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs", *arguments)

    return run_project


@pytest.mark.usefixtures("release")
def test_fixtures_share_and_renew(run: Project) -> None:
    """modelboot_nlp is the object of get_nlp, the same in every test; modelboot_load gives a new one at each call."""
    done = run(
        """
        import modelboot

        def test_shared(modelboot_nlp):
            assert modelboot_nlp is modelboot.get_nlp("en_tiny_sm")

        def test_shared_still(modelboot_nlp):
            assert modelboot_nlp is modelboot.get_nlp("en_tiny_sm")

        def test_fresh(modelboot_nlp, modelboot_load):
            nlp = modelboot_load()
            nlp.add_pipe("merge_noun_chunks")
            assert nlp.pipe_names == ["sentencizer", "merge_noun_chunks"]
            assert modelboot_load("en_tiny_sm==1.0.0").pipe_names == modelboot_nlp.pipe_names == ["sentencizer"]
        """
    )
    done.assert_outcomes(passed=3)


@pytest.mark.usefixtures("release")
def test_options_choose_model_and_components(run: Project) -> None:
    """The command line's model beats the configuration's; excluded components are left out unless a call says else."""
    done = run(
        """
        def test_excluded(modelboot_nlp, modelboot_load):
            assert modelboot_nlp.pipe_names == modelboot_load().pipe_names == []
            assert modelboot_load(exclude=()).pipe_names == ["sentencizer"]
        """,
        "--modelboot-model=en_tiny_sm==1.0.0",
        ini="modelboot_model = en_unheard_of\nmodelboot_exclude = sentencizer",
    )
    done.assert_outcomes(passed=1)


def test_missing_pipeline_fails_with_its_hint(run: Project, release: ModelServer, tiny: BuiltWheel) -> None:
    """A pipeline that cannot be had fails every test that needs it, in a few lines, after one attempt."""
    release.serve(f"/{tiny.release_path}", Reply(status=404))
    done = run(READERS + READERS.replace("_reader", "_second"))
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["Can't find model 'en_tiny_sm': could not get en_tiny_sm 1.0.0*404*", "hint: *"])
    assert "Traceback" not in done.stdout.str()
    assert "site-packages" not in done.stdout.str()
    assert release.count(f"/{tiny.release_path}") == 1


def test_missing_pipeline_skips_where_told(run: Project, release: ModelServer, tiny: BuiltWheel) -> None:
    """With modelboot_missing = skip the tests that need it are skipped, saying why; the others run."""
    release.serve(f"/{tiny.release_path}", Reply(status=404))
    tests = f"{READERS}def test_fresh(modelboot_load):\n    modelboot_load()\ndef test_other():\n    pass\n"
    done = run(tests, ini="modelboot_model = en_tiny_sm\nmodelboot_missing = skip")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED * could not get en_tiny_sm 1.0.0*404*"])


def test_other_bytes_are_never_skipped(run: Project, release: ModelServer, tiny: BuiltWheel) -> None:
    """A wheel with other bytes, or a name that is not known, fails although missing pipelines are skipped."""
    release.serve(f"/{tiny.release_path}", Reply(body=b"PK\x03\x04" + tiny.content[4:-1] + b"x"))
    unknown = "def test_unknown(modelboot_load):\n    modelboot_load('en_unheard_of')\n"
    done = run(READERS + unknown, ini="modelboot_model = en_tiny_sm\nmodelboot_missing = skip")
    done.assert_outcomes(errors=1, failed=1)
    done.stdout.fnmatch_lines(["*refused en_tiny_sm 1.0.0: not the pinned bytes*"])


def test_unknown_choice_is_refused(run: Project) -> None:
    """Any other word in modelboot_missing ends the run as a usage error, before a test runs."""
    done = run(READERS, ini="modelboot_missing = ignore")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*modelboot_missing: 'ignore' is not fail or skip"])


def test_offline_run_asks_no_server(run: Project, release: ModelServer) -> None:
    """--modelboot-offline holds for fixtures, for the code under test and for its subprocesses."""
    done = run(
        f"""
{READERS}
def test_child():
    import os, subprocess, sys
    code = "import os; print(os.environ['MODELBOOT_OFFLINE'])"
    assert subprocess.check_output([sys.executable, "-c", code]).split() == [b"1"]

def test_code_under_test():
    import modelboot, pytest
    with pytest.raises(modelboot.OfflineError):
        modelboot.ensure_model("en_tiny_sm")
""",
        "--modelboot-offline",
    )
    done.assert_outcomes(passed=2, errors=1)
    assert release.requests == []


def test_offline_run_leaves_no_variable(pytester: pytest.Pytester) -> None:
    """A program that runs pytest has its own environment again afterwards."""
    pytester.makepyfile("import os\ndef test_offline():\n    assert os.environ['MODELBOOT_OFFLINE'] == '1'\n")
    code = "import os, pytest; print(pytest.main(['--modelboot-offline']), os.environ.get('MODELBOOT_OFFLINE'))"
    done = pytester.run(sys.executable, "-c", code)
    assert done.outlines[-1] == "0 None"


@pytest.mark.parametrize("workers", [2, pytest.param(8, marks=pytest.mark.exhaustive)])
def test_xdist_workers_cost_one_download(run: Project, release: ModelServer, tiny: BuiltWheel, workers: int) -> None:
    """Workers that start at once in a cold environment fetch the wheel once."""
    tests = "".join(READERS.replace("reader", f"reader_{number}") for number in range(workers))
    run(tests, "-n", str(workers)).assert_outcomes(passed=workers)
    assert release.count(f"/{tiny.release_path}") == 1


def test_start_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    """A project that uses no fixture pays for no import but the plugin's own two modules."""
    pytester.makepyfile(
        """
        import sys

        def test_light():
            loaded = {name for name in sys.modules if name.startswith("modelboot")}
            assert loaded == {"modelboot", "modelboot.pytest_plugin"}
            assert not {"spacy", "urllib3", "tqdm", "filelock", "installer"} & {*sys.modules}
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_switched_off_without_a_trace(pytester: pytest.Pytester) -> None:
    """With -p no:modelboot there is no fixture, no option and no module of it."""
    pytester.makepyfile(
        """
        import sys

        def test_absent():
            assert [name for name in sys.modules if name.startswith("modelboot")] == []
        """
    )
    pytester.runpytest_subprocess("-p", "no:modelboot").assert_outcomes(passed=1)
    assert "modelboot" not in pytester.runpytest_subprocess("-p", "no:modelboot", "--help", "--fixtures").stdout.str()


@pytest.mark.index
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
