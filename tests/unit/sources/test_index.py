"""The package index, one of the tests' own: which one is asked, when it is not, and what is said of it."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import logging
import re
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modelboot import DownloadError, HashMismatchError, ModelbootError, ensure_model
from modelboot._settings import read_settings
from modelboot._sources.fetch import make_sources
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import point_pip_at, publish, publish_to_index
from support.wheels import NAME, BuiltWheel, large_wheel

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
NEEDS_TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no reader of TOML")
WHOLE = functools.partial(pytest.param, marks=pytest.mark.exhaustive)
"""A row that reaches pip's own reading of its settings: each costs the start of a program."""
LOGIN, SECRET = f"Basic {base64.b64encode(b'ann:s3cret').decode()}", "s3cret"
PAGE, FILE = f"/simple/{NAME.replace('_', '-')}/", f"/files/{NAME}-1.0.0-py3-none-any.whl"


@dataclass(frozen=True)
class Index:
    """An index on a server, which has the wheel at /simple; the release has it not.

    Attributes:
        wheel: The wheel.
        server: The server.
        folder: The working directory, with pip.conf and uv.toml.
        monkeypatch: Sets variables.
    """

    wheel: BuiltWheel
    server: ModelServer
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def asked(self) -> list[str]:
        """The first part of each path that the index was asked for."""
        return [first for request in self.server.requests if (first := request.path.split("/")[1])[:3] != NAME[:3]]

    def set(self, pip_conf: str = "", **variables: str) -> None:
        """Set variables and pip.conf, in which URL and LOGIN stand for the server's URL without and with a login."""
        words = {"LOGIN": self.server.url.replace("//", "//ann:s3cret@"), "URL": self.server.url}
        for name, text in {"": pip_conf, **variables}.items():
            for word, url in words.items():
                text = re.sub(rf"\b{word}(?=/)", url, text)  # noqa: PLW2901 - step by step
            if name:
                self.monkeypatch.setenv(name, text)
            else:
                (self.folder / "pip.conf").write_text(text, "utf-8")


@pytest.fixture
def index(wheel: BuiltWheel, mirror: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return the index, which may be asked and is the only one that is set up."""
    mirror.serve(f"/{wheel.release_path}", Reply(404))
    publish_to_index(mirror, wheel.path)
    point_pip_at(mirror.url, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uv.toml").write_text(f'[[index]]\nname = "corp"\nurl = "{mirror.url}/simple"\ndefault = true\n')
    index = Index(wheel, mirror, tmp_path, monkeypatch)
    index.set(MODELBOOT_INDEX="1", MODELBOOT_RETRIES="0", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    return index


UV_LOGIN = {"UV_INDEX_CORP_USERNAME": "ann", "UV_INDEX_CORP_PASSWORD": "s3cret"}
EMPTY = {"PIP_INDEX_URL": "URL/empty"}
GLOBAL = "[global]\nextra-index-url = URL/no\n"
BOTH = f"{GLOBAL}[download]\nextra-index-url = LOGIN/simple\n"
PLACES: dict[str, tuple[dict[str, str], str]] = {
    "PIP_INDEX_URL": ({"PIP_INDEX_URL": "LOGIN/simple/", "PIP_NO_INDEX": "False"}, ""),
    "PIP_EXTRA_INDEX_URL": ({**EMPTY, "PIP_EXTRA_INDEX_URL": "LOGIN/simple"}, ""),
    "UV_DEFAULT_INDEX": ({"UV_DEFAULT_INDEX": "corp=URL/simple", **UV_LOGIN}, ""),
    "UV_INDEX": ({**EMPTY, "UV_INDEX": "corp=URL/simple", **UV_LOGIN}, ""),
    "pip.conf": ({}, "[global]\nindex-url = LOGIN/simple\n"),
    "pip.conf-section": (EMPTY, BOTH),
    "pip.conf-section-uv": ({**EMPTY, "UV_INDEX": "URL/uv"}, BOTH),
    "pip.conf-variable": ({**EMPTY, "PIP_EXTRA_INDEX_URL": "LOGIN/simple", "UV_INDEX": "URL/uv"}, GLOBAL),
    "pip.conf-before-uv": ({"UV_DEFAULT_INDEX": "URL/no"}, "[global]\nindex-url = LOGIN/simple\n"),
    "uv.toml": ({"UV_CONFIG_FILE": "uv.toml", **UV_LOGIN}, ""),
}
MARKS = {"uv.toml": NEEDS_TOML, **dict.fromkeys(("pip.conf", "pip.conf-section"), pytest.mark.exhaustive)}


@pytest.mark.parametrize("place", [pytest.param(each, marks=MARKS.get(each, ())) for each in PLACES])
def test_index_that_settings_name(
    place: str, index: Index, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The wheel comes in silence from the index that pip's or uv's settings name, with a login that is never shown.

    Nothing in the working directory is taken for a program, and a rule about pip's environments forbids no download.
    """
    caplog.set_level(logging.DEBUG, "modelboot")
    for name in ("pip", "zipfile", "sitecustomize"):
        (index.folder / f"{name}.py").write_text("open('was-run', 'w').close(); raise SystemExit('planted')", "utf-8")
    variables, pip_conf = PLACES[place]
    index.monkeypatch.delenv("PIP_INDEX_URL")
    index.set(pip_conf, PIP_REQUIRE_VIRTUALENV="1", **variables)
    model = ensure_model(index.wheel.pin_at(None))
    assert (model.source, model.downloaded_bytes) == ("index", index.wheel.size_bytes)
    assert LOGIN in [request.headers.get("Authorization") for request in index.server.requests]
    assert "no" not in index.asked
    assert not (index.folder / "was-run").exists()
    assert tuple(capfd.readouterr()) == ("", "")
    assert SECRET not in f"{caplog.text}{model!r}"


def test_index_in_a_program_that_embeds_python(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sys.executable is a server's, the index is asked all the same, and the server is not started again."""
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    assert ensure_model(index.wheel.pin_at(None)).source == "index"


@pytest.mark.parametrize("said_by", ["variable", WHOLE("file")])
def test_index_not_wanted_but_links(index: Index, said_by: str) -> None:
    """PIP_NO_INDEX asks no index; find-links beside it, in a variable or in pip's file, is searched."""
    links = index.wheel.path.parent.as_uri()
    by_variable = {"PIP_FIND_LINKS": links} if said_by == "variable" else {}
    index.set("" if by_variable else f"[global]\nfind-links = {links}\n", PIP_NO_INDEX="1", **by_variable)
    assert ensure_model(index.wheel.pin_at(None)).source == "index"
    assert index.asked == []


@pytest.mark.parametrize("variable", ["MODELBOOT_INDEX=0", "MODELBOOT_OFFLINE=1", "PIP_NO_INDEX=yes"])
def test_index_switched_off(index: Index, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked; where pip's own switch is what keeps it from being asked, that is named."""
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(ModelbootError, match=NAME) as failed:
        ensure_model(index.wheel.pin_at(None))
    assert index.asked == []
    assert (name in f"{failed.value.message} {failed.value.hint}") == (name != "MODELBOOT_INDEX")


SQUATTED = b"PK of a squatter"
STALLED = {PAGE: Reply(stall="headers")}
LISTED = f'<a href="/files/{NAME}-2.0.0-py3-none-any.whl">{NAME}-2.0.0-py3-none-any.whl</a>'
OTHER_VERSION = {PAGE: Reply(headers={"Content-Type": "text/html"}, body=LISTED.encode())}
FAULTS = {
    "no package": ({PAGE: Reply(404)}, "missing", "."),
    "other version": (OTHER_VERSION, "missing", "."),
    "no answer": (STALLED, "other", r"deadline of 0\.5 s passed"),
    "too much": ({FILE: Reply(body=b"PK", endless=True)}, "other", "sends more than the 3,932,160 bytes expected"),
    "squatter": ({FILE: Reply(body=SQUATTED)}, "bytes", f"got sha256 {hashlib.sha256(SQUATTED).hexdigest()}"),
}


@pytest.mark.parametrize("fault", [WHOLE("no package"), *[*FAULTS][1:]])
def test_index_fails(fault: str, index: Index, target: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is named with its reason, without its login; nothing is printed, and nothing installed.

    A package of that name and version but of other bytes is refused.
    """
    replies, kind, reason = FAULTS[fault]
    for path, reply in replies.items():
        index.server.serve(path, reply)
    index.set(PIP_INDEX_URL="LOGIN/simple/", FORCE_COLOR="1", MODELBOOT_TIMEOUT="100")
    index.set(MODELBOOT_DEADLINE="0.5" if fault == "no answer" else "60")
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(replace(index.wheel.pin_at(None), size_mb=1))
    _, attempt = failed.value.attempts
    assert (attempt.source, attempt.kind) == ("index", kind)
    assert re.match(reason, attempt.reason)
    assert str(attempt) in failed.value.message
    assert isinstance(failed.value, HashMismatchError) is (kind == "bytes")
    assert attempt.got_sha256 == (hashlib.sha256(SQUATTED).hexdigest() if kind == "bytes" else None)
    assert SECRET not in "".join(traceback.format_exception(failed.value))
    assert index.server.count(PAGE) <= 1
    assert tuple(capfd.readouterr()) == ("", "")
    assert not target.exists()


def test_index_shows_what_has_come(index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Who waits is told that the index is asked, and then how much has come."""
    wheel = large_wheel(tmp_path / "large")
    publish(index.monkeypatch, tmp_path / "tree", wheel)
    publish_to_index(index.server, wheel.path)
    index.server.serve(FILE, Reply(body=wheel.content, drip_bytes_per_s=400_000))
    index.set(MODELBOOT_BASE_URL="URL/none", MODELBOOT_PROGRESS="1")
    assert main(["install", NAME]) == 0
    assert re.search(r"asking index.*\d+kB", capfd.readouterr().err, re.DOTALL)


@pytest.mark.parametrize(
    ("replies", "ok"), [({}, True), (OTHER_VERSION, False), (STALLED, False)], ids=["there", "other version", "stalled"]
)
def test_index_looked_at(replies: dict[str, Reply], index: Index, *, ok: bool) -> None:
    """The doctor is told, by the deadline, whether the index has the version, not only whether it answers."""
    for path, reply in replies.items():
        index.server.serve(path, reply)
    index.set(MODELBOOT_DEADLINE="0.5" if replies is STALLED else "60", MODELBOOT_TIMEOUT="100")
    settings = read_settings()
    (probe,) = make_sources(settings)[-1].probe(index.wheel.pin_at(None), settings.limits())
    assert (probe.ok, bool(probe.found)) == (ok, True)
