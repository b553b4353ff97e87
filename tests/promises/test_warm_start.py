"""A warm start touches nothing: seen by audit hook and by strace, on a read-only file system without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import OTHER, STUB_SPACY, pin_arguments, public_folder, python, skip_unless_other_user
from support.folders import snapshot
from support.wheels import build_wheel

PIN = "import sys, modelboot\npin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])\n"
WATCHED = f"""{PIN}
import json, os
modelboot.get_nlp("blank:af")  # what spaCy and Python do once is not what counts
sys.dont_write_bytecode = False  # what counts is the pipeline's own, not that of libraries
seen = []

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    changes = ("socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system", "os.mkdir", "os.rename",
        "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "shutil.",
        "tempfile.", "fcntl.flock", "fcntl.lockf")
    if writes or event.startswith(changes):
        seen.append(f"{{event}} {{arguments}}")

sys.addaudithook(watch)
path = modelboot.get_nlp(pin).path
print(json.dumps([str(path), seen]))
"""
USED = f"""{PIN}
import os, spacy
os.path.exists("/warm-start-begins")
nlp = modelboot.get_nlp(pin)
print(nlp.meta["version"], len(list(nlp("One. Two.").sents)))
"""


def works(*words: str) -> bool:
    """Return True if a program is here and may do what it is told."""
    return shutil.which(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[Path, ModelPin]]:
    """Return a target that every user can read, with a model in it, and the pin, whose wheel cannot be had."""
    with public_folder() as folder:
        wheel = build_wheel(folder, name="af_tiny_sm", lang="af")
        ensure_model(wheel.pin, target=folder / "target")
        yield folder / "target", wheel.pin_at("http://127.0.0.1:9/af_tiny_sm-1.0.0-py3-none-any.whl")


def test_warm_start_has_no_event_but_reading(installed: tuple[Path, ModelPin]) -> None:
    """Under an audit hook: no socket, write, folder, removal, lock, temporary file or program."""
    target, pin = installed
    before = snapshot(target)
    env = {"MODELBOOT_TARGET": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    done = python(WATCHED, *pin_arguments(pin), env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(target / "af_tiny_sm" / "af_tiny_sm-1.0.0"), []]
    assert snapshot(target) == before


HARMLESS = re.compile(
    r"\b(?:\w*stat\w*|access|readlink|getcwd|exit_group)\("
    r"|\bopen(?:at)?\((?!.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC))"
    r"|^\d+ \+\+\+"
)


def test_warm_start_makes_no_system_call_but_reading(installed: tuple[Path, ModelPin], tmp_path: Path) -> None:
    """Under strace: no socket, no file opened for writing, no lock, folder, rename, removal, thread or program."""
    if not works("strace", "true"):
        pytest.skip("there is no strace here that may trace")
    target, pin = installed
    trace = tmp_path / "trace"
    # Python's own bytecode of libraries that are not imported yet is not what this is about.
    env = {**STUB_SPACY, "MODELBOOT_TARGET": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    calls_to_see = "trace=%network,%file,%process,flock,fsync,ftruncate,fchmod,fchown"
    strace = ["strace", "-f", "-qq", "-e", calls_to_see, "-o", str(trace)]
    done = python(USED, *pin_arguments(pin), env=env, prefix=strace)
    assert done.returncode == 0, done.stderr
    before, mark, after = trace.read_text("utf-8", errors="replace").partition('"/warm-start-begins"')
    assert mark
    assert "execve(" in before  # it does see what it looks for
    calls = after.splitlines()[1:]
    assert any("af_tiny_sm-1.0.0.dist-info/RECORD" in call for call in calls)
    assert [call for call in calls if not HARMLESS.search(call)] == []


READ_ONLY = """
set -e
target=$1
shift
mount --bind "$target" "$target"
mount -o remount,ro,bind "$target"
! touch "$target/probe" 2>/dev/null
exec "$@"
"""


@pytest.mark.parametrize("user", [None, OTHER], ids=["root", "another user"])
def test_warm_start_on_a_read_only_file_system(installed: tuple[Path, ModelPin], user: int | None) -> None:
    """It loads without a home, a temporary folder or a network; root, whom permissions do not stop, tries nothing."""
    if not works("unshare", "-m", "-n", "mount", "-t", "tmpfs", "none", "/mnt"):
        pytest.skip("unshare may not make mounts here")
    if user is not None:
        skip_unless_other_user()
    target, pin = installed
    nothing: dict[str, str | None] = {"HOME": None, "XDG_CACHE_HOME": None, "MODELBOOT_HOME": None}
    env = {**STUB_SPACY, **nothing, "TMPDIR": "/nonexistent", "MODELBOOT_TARGET": str(target)}
    prefix = ["unshare", "-m", "-n", "sh", "-c", READ_ONLY, "sh", str(target)]
    done = python(USED, *pin_arguments(pin), user=user, env=env, prefix=prefix)
    assert (done.stdout, done.stderr) == ("1.0.0 2\n", "")
