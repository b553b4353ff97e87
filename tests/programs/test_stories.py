"""Stories of users, replayed from end to end: real processes, real environments, a real server on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from modelboot import DownloadError, ModelbootError, ModelPin, ensure_model, get_nlp
from modelboot.cli import main
from support.children import (
    OTHER,
    command,
    environment,
    make_env,
    owned,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import dist_infos, is_complete, leftovers, names, snapshot
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel by the name that everybody uses."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), name="en_core_web_sm", version="3.8.0")


def library(interpreter: Path) -> Path:
    """Return the folder an environment keeps its packages in."""
    (folder,) = interpreter.parents[1].glob("lib/python*/site-packages")
    return folder


def in_env(interpreter: Path, **env: str | None) -> dict[str, str]:
    """Return settings that leave the choice of the place to modelboot."""
    return environment({"MODELBOOT_TARGET": None, "MODELBOOT_HOME": str(interpreter.parents[2] / "home"), **env})


# --- 1

SUITE = """
import json, os
import pytest
from modelboot import ModelPin, get_nlp

PIN = ModelPin(*json.loads(os.environ["PIN"])[:3], url=json.loads(os.environ["PIN"])[3])

@pytest.fixture(scope="session")
def nlp():
    return get_nlp(PIN)

@pytest.mark.parametrize("number", range(8))
def test_sentences(nlp, number):
    assert len(list(nlp("One. Two.").sents)) == 2
"""


def parallel_suites(folder: Path, env: dict[str, str]) -> list[int]:
    """Run a test suite in four workers: xdist's where it is installed, else four whole runs at once."""
    pytest_words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    spread = importlib.util.find_spec("xdist") is not None
    runs = [[*pytest_words, "-n", "4"]] if spread else [pytest_words] * 4
    started = [subprocess.Popen([*run, "test_app.py"], cwd=folder, env=env, stdout=subprocess.DEVNULL) for run in runs]
    return [process.wait(120) for process in started]


@pytest.mark.parametrize(
    "repeats", [pytest.param(1, id="once"), pytest.param(5, id="5 times", marks=pytest.mark.exhaustive)]
)
def test_story_1_parallel_test_suite(repeats: int, wheel: BuiltWheel, server: ModelServer, tmp_path: Path) -> None:
    """Story 1, "Parallel test suite": all pass, one request, two entries in the target and no leftovers."""
    slow = Reply(body=wheel.content, drip_bytes_per_s=wheel.size_bytes)
    pin = server.publish(wheel, slow)
    (tmp_path / "test_app.py").write_text(SUITE, "utf-8")
    for number in range(1, repeats + 1):
        target = tmp_path / f"target{number}"
        env = environment(
            {"MODELBOOT_TARGET": str(target), "PIN": json.dumps(pin_arguments(pin)), "PYTEST_ADDOPTS": None}
        )
        assert set(parallel_suites(tmp_path, env)) == {0}
        assert server.count(f"/{wheel.path.name}") == number
        assert names(target) == [".modelboot", "en_core_web_sm", "en_core_web_sm-3.8.0.dist-info"]
        assert names(target / ".modelboot") == ["en_core_web_sm.lock"]
        assert is_complete(target, pin)


# --- 2

BUILD = "import sys, modelboot; print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).path)"
USE = "import sys, modelboot; print(modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4])).meta['version'])"
SEALED = """
set -e
folder=$1
shift
mount --bind "$folder" "$folder"
mount -o remount,ro,bind "$folder"
mount -o remount,ro,bind /
! touch /probe "$folder/probe" 2>/dev/null
exec "$@"
"""


def test_story_2_image_baked_as_root_run_as_nobody(wheel: BuiltWheel) -> None:
    """Story 2, "Image baked as root, run as nobody, root FS read-only, no network": it loads; nothing is written.

    With one difference: under the story's umask of 077 the files would be root's alone, as pip's would be; so the
    image is built under 022.
    """
    skip_unless_other_user()
    if subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("unshare may not make namespaces here")
    with public_folder() as folder:
        pin = build_wheel(folder, name=wheel.name, version=wheel.version).pin
        interpreter = make_env(folder / "env")
        unset = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "MODELBOOT_TARGET", "MODELBOOT_HOME"))
        env: dict[str, str | None] = {**unset, "TMPDIR": "/nonexistent"}
        built = python(BUILD, *pin_arguments(pin), executable=str(interpreter), env=unset, umask=0o022)
        assert str(library(interpreter)) in built.stdout, built.stderr
        before = snapshot(library(interpreter))
        as_nobody = command(USE, *pin_arguments(pin)[:3], user=OTHER, executable=str(interpreter))
        sealed = ["unshare", "-m", "-n", "sh", "-c", SEALED, "sh", str(folder), *as_nobody]
        done = subprocess.run(sealed, env=environment(env), capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("3.8.0\n", "")
        assert snapshot(library(interpreter)) == before


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


def test_story_3_uv_environment_without_pip(wheel: BuiltWheel, server: ModelServer, tmp_path: Path) -> None:
    """Story 3, "uv venv without pip, inside uwsgi-like host": no subprocess, silent; uv and pip then understand it."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv here")
    pin, interpreter = server.publish(wheel), make_env(tmp_path / "env", uv=uv)
    before = snapshot(library(interpreter))
    env = in_env(interpreter, PATH="", MODELBOOT_INDEX="1")
    done = subprocess.run(
        command(EMBEDDED, *pin_arguments(pin), executable=str(interpreter)),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "3.8.0 []")
    for tool in (["uv", "pip", "list", "--offline", "--python"], [sys.executable, "-m", "pip", "--python"]):
        program = [uv, *tool[1:], str(interpreter)] if tool[0] == "uv" else [*tool, str(interpreter), "list"]
        listed = subprocess.run(program, env=environment({}), capture_output=True, text=True, check=True)
        assert ["en-core-web-sm", "3.8.0"] in [
            line.replace("_", "-").split()[:2] for line in listed.stdout.splitlines()
        ]
    uninstall = [sys.executable, "-m", "pip", "--python", str(interpreter), "uninstall", "-y", wheel.name]
    subprocess.run(uninstall, env=environment({}), capture_output=True, check=True)
    after = {path: entry for path, entry in snapshot(library(interpreter)).items() if not path.startswith(".modelboot")}
    assert after == before


# --- 5

KILLED = """
import os, signal, sys, threading
import modelboot
event, part, number = sys.argv[5], sys.argv[6], int(sys.argv[7])
seen = []

def watch(name, arguments):
    if name == event and part in str(arguments[0]):
        seen.append(name)
        if len(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""
KILLS = {
    "transfer": ("", "", "0"),
    "unpack": ("open", "unpacked/en_core_web_sm/en_core_web_sm-3.8.0/tokenizer", "1"),
    "between the two renames": ("os.rename", "unpacked/", "2"),
}


@pytest.mark.parametrize("moment", KILLS.values(), ids=KILLS)
def test_story_5_killed_half_way(
    moment: tuple[str, str, str], wheel: BuiltWheel, server: ModelServer, target: Path
) -> None:
    """Story 5, "Killed half way": the next plain call loads the pinned version, and a waiting sibling goes on."""
    whole = Reply(body=wheel.content)
    in_transfer = moment == KILLS["transfer"]
    pin = server.publish(wheel, Reply(body=whole.body, stall="body") if in_transfer else whole, whole)
    victim = subprocess.Popen(command(KILLED, *pin_arguments(pin), *moment), env=environment({}))
    sibling = None
    if in_transfer:
        assert server.wait_for(f"/{wheel.path.name}")
        sibling = subprocess.Popen(command(BUILD, *pin_arguments(pin)), env=environment({}), stdout=subprocess.PIPE)
        victim.kill()
    assert victim.wait(60) == -9
    nlp = get_nlp(pin)
    assert nlp.meta["version"] == "3.8.0"
    assert len(list(nlp("One. Two.").sents)) == 2
    if sibling is not None:
        output, _ = sibling.communicate(timeout=20)  # against half an hour, the deadline of its wait
        assert output.decode().startswith(str(target))
    assert is_complete(target, pin)
    assert leftovers(target, pin) == []


# --- 6


def test_story_6_old_model_lying_around(  # noqa: PLR0913, PLR0917 - all are fixtures
    wheel: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Story 6, "Old model lying around": 3.7.1 is installed and imported, 3.8.0 is what is loaded and all there is."""
    monkeypatch.syspath_prepend(str(target))
    old = build_wheel(tmp_path / "old", name=wheel.name, version="3.7.1").pin
    assert get_nlp(old).meta["version"] == "3.7.1"
    nlp = get_nlp(server.publish(wheel))
    assert nlp.meta["version"] == "3.8.0"
    assert sys.modules[wheel.name].__version__ == "3.8.0"
    pip = [sys.executable, "-m", "pip", "list", "--path", str(target), "--format=json"]
    listed = subprocess.run(pip, env=environment({}), capture_output=True, text=True, check=True)
    assert [(item["name"].replace("-", "_"), item["version"]) for item in json.loads(listed.stdout)] == [
        (wheel.name, "3.8.0")
    ]
    assert dist_infos(target) == ["en_core_web_sm-3.8.0.dist-info"]
    assert main(["verify", wheel.name]) in {0, 1}  # its hash is not the catalog's: it says so, and nothing else
    assert "RECORD" not in capsys.readouterr().out


# --- 9


def test_story_9_two_users_one_box(wheel: BuiltWheel, server: ModelServer) -> None:
    """Story 9, "Two users, one box": neither waits for the other, and a planted symlink's target is untouched."""
    skip_unless_other_user()
    alice_id, bob_id = OTHER, OTHER - 1
    body = wheel.content
    server.serve("/alice/en_core_web_sm.whl", Reply(body=body, drip_bytes_per_s=wheel.size_bytes // 3))
    server.serve("/bob/en_core_web_sm.whl", Reply(body=body))
    with public_folder() as folder:
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        victim = owned(folder / "bob", bob_id) / "diary"
        victim.write_bytes(b"mine\n")
        os.chown(victim, bob_id, bob_id)
        work = owned(owned(folder / "alice", alice_id) / ".modelboot", alice_id)
        for planted in (work / "en_core_web_sm.lock", folder / "tmp" / "en_core_web_sm.lock"):
            planted.symlink_to(victim)

        def run(name: str, user: int) -> subprocess.Popen[bytes]:
            pin = wheel.pin_at(f"{server.url}/{name}/en_core_web_sm.whl")
            settings = {
                "MODELBOOT_TARGET": str(folder / name),
                "MODELBOOT_HOME": None,
                "HOME": str(folder / name),
                "TMPDIR": str(folder / "tmp"),
            }
            return subprocess.Popen(command(BUILD, *pin_arguments(pin), user=user), env=environment(settings))

        alice = run("alice", alice_id)
        assert server.wait_for("/alice/en_core_web_sm.whl")
        assert run("bob", bob_id).wait(60) == 0
        assert alice.poll() is None
        assert alice.wait(60) == 0
        assert victim.read_bytes() == b"mine\n"
        for name in ("alice", "bob"):
            assert dist_infos(folder / name) == ["en_core_web_sm-3.8.0.dist-info"]
        assert names(folder / "tmp") == ["en_core_web_sm.lock"]


# --- 10


def call_200_times(pin: ModelPin) -> list[ModelbootError]:
    """Call get_nlp as 200 tests in eight threads would, and return what each call raised."""
    raised: list[ModelbootError] = []

    def work() -> None:
        for _ in range(25):
            try:
                get_nlp(pin)
            except ModelbootError as error:
                raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_story_10_long_test_run_on_a_dead_network(wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Story 10, "Long test run on a dead network": one timeout, one type of error, and one GET once it is back."""
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "1")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    with ModelServer() as closed:
        dead = closed.publish(wheel)
    with ModelServer() as server:
        stalled = server.publish(wheel, Reply(stall="headers"), Reply(body=wheel.content))
        for pin, cause in ((dead, "refused"), (stalled, "timed out|no byte|no answer|s without")):
            get_nlp.cache_clear()
            started = time.monotonic()
            errors = call_200_times(pin)
            seconds = time.monotonic() - started
            assert len(errors) == 200
            assert {type(error) for error in errors} == {DownloadError}
            causes = Counter(id(error.__cause__) for error in errors)
            assert sorted(causes.values()) == [1, 199]  # all but the first repeat it, chained
            assert len({(error.message, error.hint) for error in errors}) == 1
            assert sum("(remembered, " in str(error) for error in errors) == 199
            assert any(word in str(errors[0]) for word in cause.split("|")), errors[0]
            assert seconds < 10  # 200 timeouts would be 200 s
        assert server.count(f"/{wheel.path.name}") == 1
        get_nlp.cache_clear()
        assert get_nlp(stalled).meta["version"] == "3.8.0"
        assert server.count(f"/{wheel.path.name}") == 2
        assert ensure_model(stalled).source == "present"
