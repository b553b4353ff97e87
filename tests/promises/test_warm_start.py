"""A warm start touches nothing: seen by audit hook and by strace, on a read-only file system without a network."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import (
    OTHER,
    as_user,
    command,
    environment,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import names, snapshot
from support.wheels import BuiltWheel, build_wheel

NOTHING_OF_HIS_OWN = {"HOME": None, "XDG_CACHE_HOME": None, "MODELBOOT_HOME": None, "TMPDIR": "/nonexistent"}

HOOK = """
import json, os, sys
seen = []

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    changes = ("socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system", "os.mkdir", "os.rename",
        "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "shutil.",
        "tempfile.", "fcntl.flock", "fcntl.lockf")
    if writes or event.startswith(changes):
        seen.append(f"{event} {arguments}")
"""
LOAD = f"""{HOOK}
import spacy
spacy.blank("en")  # what spaCy itself does once is none of ours
sys.addaudithook(watch)
import modelboot
import modelboot._spacy.load
import modelboot._spacy.cache
sys.dont_write_bytecode = False  # it was on so far: what counts is the pipeline's own, not that of libraries
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
print(json.dumps([nlp.meta["version"], seen]))
"""
ENSURE = f"""{HOOK}
sys.addaudithook(watch)
import modelboot
model = modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
print(json.dumps([model.version if model.source == "present" else model.source, seen]))
"""
TRACED = """
import os, sys
import spacy
spacy.blank("en")
if os.path.exists("/warm-start-begins"): pass
import modelboot
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
assert nlp.meta["version"] == "1.0.0"
"""
BEGINS = '"/warm-start-begins"'


@pytest.fixture(scope="module")
def installed(tiny: BuiltWheel) -> Iterator[tuple[Path, ModelPin]]:
    """Return a target that every user can read, with the tiny model in it, and the model's pin."""
    with public_folder() as folder:
        target, pin = folder / "target", build_wheel(folder, name=tiny.name, version=tiny.version).pin
        ensure_model(pin, target=target)
        yield target, pin


@pytest.mark.parametrize("script", [LOAD, ENSURE], ids=["get_nlp", "ensure_model"])
def test_warm_start_has_no_event_but_reading(script: str, installed: tuple[Path, ModelPin]) -> None:
    """Under an audit hook: no socket, write, folder, removal, lock, temporary file or program."""
    target, pin = installed
    before = snapshot(target)
    env = {"MODELBOOT_TARGET": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    done = python(script, *pin_arguments(pin), env=env)
    assert done.returncode == 0, done.stderr
    version, seen = json.loads(done.stdout)
    assert version == "1.0.0"
    assert seen == []
    assert snapshot(target) == before


CALLS = (
    "%network,open,openat,creat,flock,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,"
    "symlink,symlinkat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,utimensat,fsync,execve,fork,vfork,clone,"
    "clone3,stat,lstat,newfstatat,statx"
)
HARMLESS = re.compile(
    r"\b(?:stat|lstat|newfstatat|statx)\("  # asked for only to see the mark
    r"|\bopen(?:at)?\((?!.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC))"
    r"|\bopen(?:at)?\([^)]*\"/dev/(?:null|tty|urandom)\""
    r"|\bclone3?\(.*CLONE_THREAD"  # threads of the linear algebra library
    r"|resumed>|^\d+ (?:\+\+\+|---)"
)


@functools.cache
def strace_works() -> bool:
    """Tell whether strace is here and may trace."""
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "true"], capture_output=True, check=False).returncode == 0


def test_warm_start_makes_no_system_call_but_reading(installed: tuple[Path, ModelPin], tmp_path: Path) -> None:
    """Under strace: no socket, no file opened for writing, no lock, folder, rename, removal or program."""
    if not strace_works():
        pytest.skip("there is no strace here that may trace")
    target, pin = installed
    trace = tmp_path / "trace"
    # Python's own bytecode of libraries that nobody has imported yet is not what this is about.
    env = {"MODELBOOT_TARGET": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)]
    done = python(TRACED, *pin_arguments(pin), env=env, prefix=strace)
    assert done.returncode == 0, done.stderr
    before, mark, after = trace.read_text("utf-8", errors="replace").partition(BEGINS)
    assert mark
    assert "execve(" in before  # it does see what it looks for
    calls = after.splitlines()[1:]
    assert any(f"{pin.name}-{pin.version}.dist-info/RECORD" in call for call in calls)
    assert [call for call in calls if not HARMLESS.search(call)] == []


@functools.cache
def unshare_works() -> bool:
    """Tell whether new namespaces with mounts of their own may be made here."""
    try_out = ["unshare", "-m", "-n", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare") is not None and not subprocess.run(try_out, capture_output=True, check=False).returncode
    )


READ_ONLY = """
set -e
target=$1
shift
mount --bind "$target" "$target"
mount -o remount,ro,bind "$target"
! touch "$target/probe" 2>/dev/null
exec "$@"
"""
USE = """
import sys, modelboot
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url="http://127.0.0.1:9/" + sys.argv[1] + ".whl"))
print(nlp.meta["version"], len(list(nlp("One. Two.").sents)))
"""


def read_only(folder: Path, words: list[str]) -> list[str]:
    """Return the words that run a command with a folder mounted read-only, in an empty network."""
    return ["unshare", "-m", "-n", "sh", "-c", READ_ONLY, "sh", str(folder), *words]


def require_namespaces() -> None:
    """Skip the test, saying why, where no read-only mount can be made."""
    if not unshare_works():
        pytest.skip("unshare may not make mounts here")


def test_warm_start_on_a_read_only_file_system_without_a_network(installed: tuple[Path, ModelPin]) -> None:
    """As another user with no home and no temporary folder, on a read-only mount, in an empty network: it loads."""
    skip_unless_other_user()
    require_namespaces()
    target, pin = installed
    env = environment({**NOTHING_OF_HIS_OWN, "MODELBOOT_TARGET": str(target)})
    words_ = read_only(target, command(USE, *pin_arguments(pin)[:3], user=OTHER))
    done = subprocess.run(words_, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "1.0.0 2\n", done.stderr
    assert done.stderr == ""


def test_cold_start_on_a_read_only_file_system_says_so(installed: tuple[Path, ModelPin]) -> None:
    """The same without the model: a clear error at once, that names the folder."""
    skip_unless_other_user()
    require_namespaces()
    target, pin = installed
    script = USE.replace("get_nlp", "ensure_model").replace('nlp.meta["version"], ', "")
    other = command(script, "en_other_sm", *pin_arguments(pin)[1:3], user=OTHER)
    env = environment({**NOTHING_OF_HIS_OWN, "MODELBOOT_TARGET": str(target)})
    done = subprocess.run(read_only(target, other), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "InstallError: could not install en_other_sm 1.0.0" in done.stderr
    assert str(target) in done.stderr


def test_warm_start_of_root_on_a_read_only_file_system(installed: tuple[Path, ModelPin]) -> None:
    """Root on a read-only mount, where permissions do not matter: what is intact is intact, nothing is tried."""
    require_namespaces()
    target, pin = installed
    script = "import sys, modelboot\nprint(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4])).source)"
    env = environment({"MODELBOOT_TARGET": str(target), "MODELBOOT_OFFLINE": "1"})
    words_ = read_only(target, [*as_user(None), sys.executable, "-c", script, *pin_arguments(pin)[:3]])
    done = subprocess.run(words_, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "present\n", done.stderr
    assert names(target / ".modelboot") == [f"{pin.name}.lock"]
