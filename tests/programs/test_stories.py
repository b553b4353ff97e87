"""Stories of users, replayed from end to end: real processes, real environments, a real server on loopback.

The numbers are those of a list of ten. Elsewhere: 2, an image baked as root, run as nobody, read-only, without network
(test_image.py, promises/test_warm_start.py); 5, killed half way (promises/test_waiting.py, promises/test_sweeps.py);
and 6, an old model lying around (promises/test_places.py).
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelboot import DownloadError, ModelbootError, ModelPin, ensure_model, get_nlp
from support import children
from support.folders import dist_infos, is_complete, leftovers, names
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel by the name that everybody uses."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), name="en_core_web_sm", version="3.8.0")


# --- 1

SUITE = """
import pytest
from modelboot import ModelPin, get_nlp

@pytest.fixture(scope="session")
def nlp():
    return get_nlp(ModelPin({!r}, {!r}, {!r}, url={!r}))

@pytest.mark.parametrize("number", range(8))
def test_sentences(nlp, number):
    assert len(list(nlp("One. Two.").sents)) == 2
"""


@pytest.mark.parametrize(
    "spacy", [pytest.param(children.STUB_SPACY, id="stub"), pytest.param({}, id="spacy", marks=pytest.mark.exhaustive)]
)
def test_story_1_parallel_test_suite(
    spacy: dict[str, str | None], wheel: BuiltWheel, server: ModelServer, tmp_path: Path, target: Path
) -> None:
    """Story 1, "Parallel test suite": four workers pass, after one request, and nothing is left over."""
    pytest.importorskip("xdist", reason="the package pytest-xdist, of the extra test, is not installed")
    pin = server.publish(wheel, Reply(body=wheel.content, drip_bytes_per_s=2 * wheel.size_bytes))
    (tmp_path / "test_app.py").write_text(SUITE.format(*children.pin_arguments(pin)), "utf-8")
    settings = {"PYTEST_ADDOPTS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    arguments = ["-p", "xdist", "-n", "4", f"--rootdir={tmp_path}", "test_app.py"]
    done = children.python(children.PYTEST, *arguments, env={**spacy, **settings}, cwd=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
    assert server.count(f"/{wheel.path.name}") == 1
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


# --- 3

EMBEDDED = """
import sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event.startswith(
    ("subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system")) else None)
import spacy
del started[:]
sys.executable = "/bin/false"
import modelboot
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
sys.stderr.write(f"{nlp.meta['version']} {started}")
"""


def test_story_3_environment_without_pip(wheel: BuiltWheel, server: ModelServer, tmp_path: Path) -> None:
    """Story 3, "uv venv without pip, inside uwsgi-like host": it goes into the environment, silently, by no program."""
    interpreter = children.make_env(tmp_path / "env")
    settings = {"PATH": "", "MODELBOOT_INDEX": "1", "MODELBOOT_TARGET": None}
    pin = server.publish(wheel)
    done = children.python(
        EMBEDDED, *children.pin_arguments(pin), executable=str(interpreter), env={**children.STUB_SPACY, **settings}
    )
    assert (done.stdout, done.stderr) == ("", "3.8.0 []")
    assert is_complete(children.library_of(tmp_path / "env"), pin)


# --- 9

INSTALL = "import sys, modelboot; modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))"


def test_story_9_two_users_one_box(wheel: BuiltWheel, server: ModelServer) -> None:
    """Story 9, "Two users, one box": neither waits for the other, and nothing of them lies in their common /tmp."""
    children.skip_unless_other_user()
    with children.public_folder() as folder:
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)

        def start(name: str, user: int, reply: Reply) -> subprocess.Popen[bytes]:
            server.serve(f"/{name}/en_core_web_sm.whl", reply)
            home = str(children.owned(folder / name, user))
            settings = {"MODELBOOT_TARGET": home, "MODELBOOT_HOME": None, "HOME": home, "TMPDIR": str(folder / "tmp")}
            pin = wheel.pin_at(f"{server.url}/{name}/en_core_web_sm.whl")
            return subprocess.Popen(
                children.command(INSTALL, *children.pin_arguments(pin), user=user), env=children.environment(settings)
            )

        alice = start("alice", children.OTHER, Reply(body=wheel.content, stall="body"))
        assert server.wait_for("/alice/en_core_web_sm.whl")
        assert start("bob", children.OTHER - 1, Reply(body=wheel.content)).wait(children.TIMEOUT_S) == 0
        assert alice.poll() is None
        alice.kill()
        alice.wait(children.TIMEOUT_S)
        assert dist_infos(folder / "bob") == ["en_core_web_sm-3.8.0.dist-info"]
        assert names(folder / "tmp") == []


# --- 10


def raised_by(pin: ModelPin) -> ModelbootError:
    """Return what get_nlp raises."""
    with pytest.raises(ModelbootError) as caught:
        get_nlp(pin)
    return caught.value


def test_story_10_long_test_run_on_a_dead_network(
    wheel: BuiltWheel, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 10, "Long test run on a dead network": one timeout, one error for all, and one GET once it is back."""
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.3")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    pin = server.publish(wheel, Reply(stall="headers"), Reply(body=wheel.content))
    with ThreadPoolExecutor(8) as threads:
        errors = [*threads.map(lambda _: raised_by(pin), range(200))]
    assert [type(error) for error in errors] == [DownloadError] * 200
    assert len({(error.message, error.hint) for error in errors}) == 1
    assert server.wait_for(f"/{wheel.path.name}")
    assert server.count(f"/{wheel.path.name}") == 1
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "30")
    get_nlp.cache_clear()
    assert get_nlp(pin).meta["version"] == "3.8.0"
    assert server.count(f"/{wheel.path.name}") == 2
    assert ensure_model(pin).source == "present"
