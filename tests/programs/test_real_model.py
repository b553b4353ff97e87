"""The main job on real, officially released pipelines."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelboot import DownloadError, ensure_model, get_nlp
from support.real import NAME, SHA256, SIZE_BYTES, VERSION
from support.server import ModelServer, Reply
from support.sources import point_pip_at
from support.wheels import BuiltWheel

SENTENCE = "Qui est le président de la France ?"
READ = ["PRON", "AUX", "DET", "NOUN", "ADP", "DET", "PROPN", "PUNCT"]
"""What it is made of, as a grammar would say."""
RELEASE_PATH = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
DEFAULT_SHA256 = "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"
DEFAULT_BYTES = 12_806_118
RELEASE_HOST = ("github.com", 443)


@pytest.mark.index
def test_check_on_a_release_tree_fetches_once_and_then_needs_no_network(
    real_wheel: BuiltWheel,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    without_network: Sequence[str],
) -> None:
    """The first `check` fetches and parses; the second is served from disk with no network at all."""
    server.serve(RELEASE_PATH, Reply(body=real_wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    first = _run("check", NAME, cwd=tmp_path)
    second = _run("check", NAME, cwd=tmp_path, prefix=without_network)
    assert [request.method + request.path for request in server.requests] == [f"GET{RELEASE_PATH}"]
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "release, 16.3 MB" in first.stdout
    assert re.search(r"^  source    present$", second.stdout, re.MULTILINE)
    assert _parse(first.stdout) == _parse(second.stdout)


@pytest.fixture
def without_network() -> Sequence[str]:
    """Return what to put before a command so that it runs with no network at all, loopback included."""
    for prefix in (["unshare", "-rn"], ["unshare", "-n"]):
        if (
            shutil.which(prefix[0])
            and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
        ):
            return prefix
    pytest.skip("no right to make a network namespace here (unshare -n)")


def _run(*arguments: str, cwd: Path, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, in a process of its own."""
    command = [*prefix, sys.executable, "-m", "modelboot", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, encoding="utf-8", cwd=cwd)


def _parse(report: str) -> list[list[str]]:
    """Take the sentence's tokens out of a report, each with what the pipeline says of it."""
    facts, sentence, table = report.strip().split("\n\n")
    assert facts.startswith(f"{NAME} {VERSION}\n")
    assert f"sha256    {SHA256}\n" in facts
    assert sentence.strip() == SENTENCE
    heads, *rows = (line.split() for line in table.splitlines())
    assert heads == ["token", "pos", "dep", "entity"]  # the tags of this pipeline say what pos says
    assert "".join(row[0] for row in rows) == SENTENCE.replace(" ", "")
    assert [row[1] for row in rows] == READ
    return rows


@pytest.mark.index
@pytest.mark.usefixtures("real_wheel")  # skips where there is no index
def test_check_falls_back_to_the_index_when_the_release_host_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the release host is blocked, the README's main command gets the same bytes through pip."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", _refusing_url())
    done = _run("check", NAME, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["source"], report["downloaded_bytes"], report["sha256"]) == ("index", SIZE_BYTES, SHA256)
    assert report["sentence"] == SENTENCE
    assert [token["pos"] for token in report["tokens"]] == READ
    assert "Connection refused" in done.stderr


def _refusing_url() -> str:
    """Give a URL whose port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.index
def test_get_nlp_from_a_wheelhouse_sends_no_request(
    real_wheel: BuiltWheel, server: ModelServer, monkeypatch: pytest.MonkeyPatch, target: Path
) -> None:
    """A wheelhouse that has the wheel is enough: nobody else is asked."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    model = ensure_model(NAME)
    nlp = get_nlp(NAME)
    assert (model.source, model.downloaded_bytes, model.path.is_relative_to(target)) == ("wheelhouse", 0, True)
    assert (nlp.meta["lang"], nlp.meta["version"]) == ("fr", VERSION)
    assert [token.pos_ for token in nlp(SENTENCE)] == READ
    assert server.requests == []


def test_get_nlp_without_argument_names_every_source_that_failed(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no source has the default pipeline, the error says what was asked for, of whom, and what to do."""
    _ask_nobody_but(server, monkeypatch, wheelhouse=tmp_path)
    started_s = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        get_nlp()
    assert time.monotonic() - started_s < 30
    error = caught.value
    assert (error.name, error.version, error.sha256) == ("en_core_web_sm", "3.8.0", DEFAULT_SHA256)
    filename = "en_core_web_sm-3.8.0-py3-none-any.whl"
    assert [(attempt.source, attempt.where, attempt.reason) for attempt in error.attempts] == [
        ("wheelhouse", str(tmp_path), f"no {filename} and no wheel of that hash"),
        ("mirror", f"{server.url}/en_core_web_sm-3.8.0/{filename}", "HTTP 404 Not Found"),
        ("index", "pip download", "No matching distribution found for en_core_web_sm==3.8.0"),
    ]
    for fact in ("en_core_web_sm 3.8.0", DEFAULT_SHA256, *map(str, error.attempts)):
        assert fact in error.message
    assert "MODELBOOT_BASE_URL" in error.hint
    assert "MODELBOOT_WHEELHOUSE" in error.hint
    assert server.count("/simple/en-core-web-sm/") == 1


def test_install_without_a_source_ends_with_two_lines_and_status_1(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Path
) -> None:
    """The program tells the same on stderr, and a line for each source between `error:` and `hint:`."""
    _ask_nobody_but(server, monkeypatch, wheelhouse=tmp_path)
    done = _run("install", cwd=tmp_path)
    error, *attempts, hint = done.stderr.splitlines()[-5:]
    assert (done.returncode, done.stdout) == (1, "")
    assert error.startswith(
        f"error: Can't find model 'en_core_web_sm': could not get en_core_web_sm 3.8.0 (sha256 {DEFAULT_SHA256})"
    )
    assert [attempt.split()[0] for attempt in attempts] == ["wheelhouse", "mirror", "index"]
    assert hint.startswith("hint: put the wheel into the folder that MODELBOOT_WHEELHOUSE names, or ")
    assert "Traceback" not in done.stderr
    assert not target.exists()


def _ask_nobody_but(server: ModelServer, monkeypatch: pytest.MonkeyPatch, *, wheelhouse: Path) -> None:
    """Make a server that has nothing both the mirror and pip's only index, beside an empty wheelhouse."""
    point_pip_at(server.url, monkeypatch)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wheelhouse))


@pytest.mark.network
def test_ensure_model_from_the_official_release_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default pipeline's pin is what the release host serves."""
    try:
        socket.create_connection(RELEASE_HOST, timeout=10).close()
    except OSError as error:
        pytest.skip(f"the release host cannot be reached: {error}")
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    model = ensure_model("en_core_web_sm==3.8.0")
    assert (model.source, model.downloaded_bytes, model.sha256) == ("release", DEFAULT_BYTES, DEFAULT_SHA256)
