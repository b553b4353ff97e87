"""The package index, one of the tests' own: which one is asked, when it is not, and what is said of it."""

from __future__ import annotations

import base64
import functools
import importlib.util
import logging
import re
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import DownloadError, HashMismatchError, ModelbootError, ensure_model
from modelboot._settings import read_settings
from modelboot._sources.fetch import make_sources
from modelboot._sources.source import Probe
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import point_pip_at, publish, publish_to_index
from support.wheels import NAME, BuiltWheel, Tampering, large_wheel, small_wheel

if TYPE_CHECKING:
    from modelboot import InstalledModel
    from modelboot.errors import Attempt

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
NEEDS_TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no reader of TOML")
LOGIN, SECRET = "Basic " + base64.b64encode(b"ann:s3cret").decode(), "s3cret"
WHOLE = functools.partial(pytest.param, marks=pytest.mark.exhaustive)
"""A row that reaches pip's own reading of its settings: each costs the start of a program."""
PAGE = f"/simple/{NAME.replace('_', '-')}/"


@dataclass(frozen=True)
class Index:
    """An index on a server, which has the wheel at /simple; the release has it not."""

    wheel: BuiltWheel
    server: ModelServer
    monkeypatch: pytest.MonkeyPatch

    @property
    def asked(self) -> list[str]:
        """What the index was asked, by the first part of each path."""
        paths = [request.path for request in self.server.requests if not request.path.startswith(f"/{NAME}")]
        return [*dict.fromkeys(path.split("/")[1] for path in paths)]

    def set(self, **variables: str) -> None:
        """Set variables, and replace {url} and {login} in them by the server's URL without and with a login."""
        login = self.server.url.replace("//", "//ann:s3cret@")
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value.format(url=self.server.url, login=login))

    def ask(self, *, size_mb: int | None = None) -> InstalledModel:
        """Ask for the wheel."""
        return ensure_model(replace(self.wheel.pin_at(None), size_mb=size_mb))

    def failure(self, *, size_mb: int | None = None) -> Attempt:
        """Ask for the wheel, see that no source gives it, and return what is said of the index."""
        with pytest.raises(DownloadError, match=NAME) as failed:
            self.ask(size_mb=size_mb)
        _, attempt = failed.value.attempts
        assert attempt.source == "index"
        assert str(attempt) in failed.value.message
        assert SECRET not in "".join(traceback.format_exception(failed.value))
        return attempt


@pytest.fixture
def index(wheel: BuiltWheel, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return the index, which may be asked and is the only one that is set up."""
    mirror.serve(f"/{wheel.release_path}", Reply(404))
    publish_to_index(mirror, wheel.path)
    point_pip_at(mirror.url, monkeypatch)
    index = Index(wheel, mirror, monkeypatch)
    index.set(MODELBOOT_INDEX="1", MODELBOOT_RETRIES="0")
    return index


UV_LOGIN = {"UV_INDEX_CORP_USERNAME": "ann", "UV_INDEX_CORP_PASSWORD": "s3cret"}
EMPTY = {"PIP_INDEX_URL": "{url}/empty"}
PLACES: dict[str, tuple[dict[str, str], str]] = {
    "PIP_INDEX_URL": ({"PIP_INDEX_URL": "{login}/simple/", "PIP_NO_INDEX": "False"}, ""),
    "PIP_EXTRA_INDEX_URL": ({**EMPTY, "PIP_EXTRA_INDEX_URL": "{login}/simple"}, ""),
    "pip.conf": ({}, "[global]\nindex-url = {login}/simple\n"),
    "pip.conf-section": (EMPTY, "[global]\nextra-index-url = {url}/no\n[download]\nextra-index-url = {login}/simple\n"),
    "pip.conf-variable": (
        {**EMPTY, "PIP_EXTRA_INDEX_URL": "{login}/simple", "UV_INDEX": "{url}/uv"},
        "[global]\nextra-index-url = {url}/no\n",
    ),
    "pip.conf-before-uv": ({"UV_DEFAULT_INDEX": "{url}/no"}, "[global]\nindex-url = {login}/simple\n"),
    "UV_DEFAULT_INDEX": ({"UV_DEFAULT_INDEX": "corp={url}/simple", **UV_LOGIN}, ""),
    "UV_INDEX": ({**EMPTY, "UV_INDEX": "corp={url}/simple", **UV_LOGIN}, ""),
    "uv.toml": ({"UV_CONFIG_FILE": "uv.toml", **UV_LOGIN}, ""),
}


@pytest.mark.parametrize(
    "place",
    [
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"),
        *(WHOLE("pip.conf"), WHOLE("pip.conf-section"), "pip.conf-variable", "pip.conf-before-uv"),
        pytest.param("uv.toml", marks=NEEDS_TOML),
    ],
)
def test_index_that_settings_name(  # noqa: PLR0913, PLR0917 - fixtures
    place: str,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The wheel comes in silence from the index that pip's or uv's settings name, with a login that is never shown.

    Nothing in the working directory is taken for a program, and a rule about pip's environments forbids no download.
    """
    variables, text = PLACES[place]
    login = index.server.url.replace("//", "//ann:s3cret@")
    for name in ("pip", "zipfile", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w').close(); raise SystemExit('planted')", "utf-8")
    corp = f'[[index]]\nname = "corp"\nurl = "{index.server.url}/simple"\ndefault = true\n'
    (tmp_path / "uv.toml").write_text(corp, "utf-8")
    (tmp_path / "pip.conf").write_text(text.format(url=index.server.url, login=login), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIP_INDEX_URL")
    index.set(PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_REQUIRE_VIRTUALENV="1", **variables)
    caplog.set_level(logging.DEBUG, "modelboot")
    model = index.ask()
    assert (model.source, model.downloaded_bytes) == ("index", index.wheel.size_bytes)
    assert LOGIN in [request.headers.get("Authorization") for request in index.server.requests]
    assert "no" not in index.asked
    assert not (tmp_path / "was-run").exists()
    assert tuple(capfd.readouterr()) == ("", "")
    written = [path.read_bytes() for path in model.path.parents[1].rglob("*.json")]
    assert SECRET not in f"{caplog.text}{model!r}{written}"


def test_index_in_a_program_that_embeds_python(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sys.executable is a server's, the index is asked all the same, and the server is not started again."""
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    assert index.ask().source == "index"


@pytest.mark.parametrize("said_by", ["variable", WHOLE("file")])
def test_index_not_wanted_but_links(index: Index, tmp_path: Path, said_by: str) -> None:
    """PIP_NO_INDEX asks no index; find-links beside it, in a variable or in pip's file, is searched."""
    links = str(index.wheel.path.parent)
    (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {links if said_by == 'file' else ''}\n", "utf-8")
    index.set(PIP_NO_INDEX="1", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    if said_by == "variable":
        index.set(PIP_FIND_LINKS=links)
    assert index.ask().source == "index"
    assert index.asked == []


@pytest.mark.parametrize("variable", ["MODELBOOT_INDEX=0", "MODELBOOT_OFFLINE=1", "PIP_NO_INDEX=yes"])
def test_index_switched_off(index: Index, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked; where pip's own switch is what keeps it from being asked, that is named."""
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelbootError, match=NAME) as failed:
        index.ask()
    assert index.asked == []
    told = f"{failed.value.message} {failed.value.hint}"
    assert (name in told) == (name != "MODELBOOT_INDEX")


def test_index_has_a_squatters_package(index: Index, tmp_path: Path, target: Path) -> None:
    """A package of that name and version but of other bytes is refused with both digests."""
    squatted = Tampering(extra={f"{NAME}/x.py": b"raise SystemExit"})
    other = small_wheel(tmp_path / "other", tampering=squatted)
    publish_to_index(index.server, other.path)
    with pytest.raises(HashMismatchError, match=f"expected sha256 {index.wheel.sha256}") as refused:
        index.ask()
    assert refused.value.attempts[-1].source == "index"
    assert refused.value.attempts[-1].got_sha256 == other.sha256
    assert other.sha256 in refused.value.message
    assert not target.exists()


@pytest.mark.parametrize("version", [WHOLE(""), "2.0.0"], ids=["no-package", "other-version"])
def test_index_lacks_it(index: Index, version: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An index without the pinned version is named with its reason, without its login, and nothing is printed."""
    index.server.serve(PAGE, Reply(404))
    if version:
        publish_to_index(index.server, small_wheel(tmp_path / "other", version).path)
    index.set(PIP_INDEX_URL="{login}/simple/", FORCE_COLOR="1")
    attempt = index.failure()
    assert attempt.kind == "missing"
    assert attempt.reason.isprintable()
    assert index.server.count(PAGE) == 1
    assert tuple(capfd.readouterr()) == ("", "")


def test_index_does_not_answer(index: Index) -> None:
    """An index that says nothing holds no call beyond the deadline."""
    index.server.serve(PAGE, Reply(stall="headers"))
    index.set(MODELBOOT_DEADLINE="0.5", MODELBOOT_TIMEOUT="100")
    assert index.failure().reason == "deadline of 0.5 s passed"


def test_index_gives_too_much(index: Index) -> None:
    """A download that outgrows the pinned wheel is ended."""
    index.server.serve(f"/files/{index.wheel.path.name}", Reply(body=b"PK", endless=True))
    assert index.failure(size_mb=1).reason == "sends more than the 3,932,160 bytes expected"


def test_index_shows_what_has_come(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who waits is told that the index is asked, and then how much has come."""
    wheel = large_wheel(tmp_path / "large")
    publish(monkeypatch, tmp_path / "tree", wheel)
    publish_to_index(index.server, wheel.path)
    slow = Reply(body=wheel.content, drip_bytes_per_s=400_000)
    index.server.serve(f"/files/{wheel.path.name}", slow)
    index.set(MODELBOOT_BASE_URL="{url}", MODELBOOT_PROGRESS="1")
    assert main(["install", NAME]) == 0
    printed = capfd.readouterr().err
    assert re.search(r"asking index.*\d+kB", printed, re.DOTALL)


@pytest.mark.parametrize(("version", "ok"), [("1.0.0", True), ("999.9.9", False)])
def test_index_looked_at(index: Index, tmp_path: Path, version: str, *, ok: bool) -> None:
    """The doctor is told whether the index has the version, not only whether it answers."""
    publish_to_index(index.server, small_wheel(tmp_path / version, version).path)
    probe = look(index)
    assert (probe.ok, bool(probe.found)) == (ok, True)


def test_index_looked_at_does_not_answer(index: Index) -> None:
    """An index that says nothing holds no doctor beyond the deadline."""
    index.server.serve(PAGE, Reply(stall="headers"))
    index.set(MODELBOOT_DEADLINE="0.5", MODELBOOT_TIMEOUT="100")
    probe = look(index)
    assert (probe.ok, probe.found) == (False, "deadline of 0.5 s passed")


def look(index: Index) -> Probe:
    """Look at the index as the doctor does."""
    settings = read_settings()
    (probe,) = make_sources(settings)[-1].probe(index.wheel.pin_at(None), settings.limits())
    return probe
