"""Package indexes that companies run, each by its own program, asked as pip's and uv's settings say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
import urllib3

from modelboot import DownloadError, ModelPin, ensure_model
from support import peers
from support.peers import PROXY_LOGIN, Authority, Peer
from support.server import ModelServer
from support.sources import publish_to_index
from support.wheels import BuiltWheel

USER, PASSWORD = "ann", "pa55word-of-the-index"
LOGIN = f"{USER}:{PASSWORD}"


@pytest.fixture(scope="session")
def pypiserver(wheel: BuiltWheel) -> Iterator[Peer]:
    """Run pypiserver, which wants a login."""
    with peers.pypiserver(wheel.path.parent, LOGIN) as running:
        yield running


@pytest.fixture(scope="session")
def devpi(wheel: BuiltWheel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Run devpi-server with an index of a user's own, to which the wheel is uploaded as twine does it."""
    with peers.devpi(tmp_path_factory.mktemp("devpi") / "data") as running:
        login = urllib3.make_headers(basic_auth=LOGIN)
        http, at = urllib3.PoolManager(headers=login), f"http://127.0.0.1:{running.port}/{USER}"
        upload = {":action": "file_upload", "name": wheel.name, "version": wheel.version}
        done = [
            http.request("PUT", at, body=f'{{"password": "{PASSWORD}"}}', headers={}),
            http.request("PUT", f"{at}/dev", body='{"type": "stage", "bases": []}'),
            http.request("POST", f"{at}/dev/", fields={**upload, "content": (wheel.path.name, wheel.content)}),
        ]
        assert [answer.status for answer in done] == [201, 200, 200], [answer.data for answer in done]
        yield running


@pytest.fixture(scope="session")
def static(wheel: BuiltWheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree of files as dumb-pypi and simpleindex lay it out (PEP 503)."""
    page = tmp_path_factory.mktemp("static") / "simple" / "en-tiny-sm" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<a href='{wheel.path.name}#sha256={wheel.sha256}'>{wheel.path.name}</a>", "utf-8")
    (page.parent / wheel.path.name).write_bytes(wheel.content)
    return page.parents[2]


@pytest.fixture(scope="session")
def tls(static: Path, authority: Authority) -> Iterator[Peer]:
    """Run nginx with TLS of a private CA before the static tree."""
    with peers.nginx(static, authority=authority) as running:
        yield running


@pytest.fixture(scope="session")
def mutual(static: Path, authority: Authority) -> Iterator[Peer]:
    """Run nginx that wants a certificate of the client's, too."""
    both = authority.ca.with_name("client.pem")
    both.write_bytes(authority.certificate.read_bytes() + authority.key.read_bytes())
    with peers.nginx(static, authority=authority, wants_certificate=True) as running:
        yield running


LOCAL = "http://127.0.0.1:PORT/simple"
TLS = {"PIP_INDEX_URL": "https://localhost:PORT/simple/"}
KNOWN = {**TLS, "PIP_CERT": "FOLDER/ca"}
UV_LOGIN = {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": PASSWORD}
INDEXES: dict[str, tuple[str, Mapping[str, str], str]] = {
    "pypiserver-url": ("pypiserver", {"PIP_INDEX_URL": LOCAL.replace("//", f"//{LOGIN}@")}, ""),
    "pypiserver-no-login": ("pypiserver", {"PIP_INDEX_URL": LOCAL}, "HTTP 401 Unauthorized"),
    "devpi": ("devpi", {"PIP_INDEX_URL": f"http://127.0.0.1:PORT/{USER}/dev/+simple/"}, ""),
    "devpi-other-index": ("devpi", {"PIP_INDEX_URL": "http://127.0.0.1:PORT/ann/none/+simple/"}, "does not list"),
    "tls-cert": ("tls", KNOWN, ""),
    "tls-unknown": ("tls", TLS, "certificate of localhost not accepted"),
    "tls-bad-cert": ("tls", {**TLS, "PIP_CERT": "FOLDER/none"}, "PIP_CERT="),
    "tls-trusted-host": ("tls", {**TLS, "PIP_TRUSTED_HOST": "localhost"}, ""),
    "tls-trusted-port": ("tls", {**TLS, "PIP_TRUSTED_HOST": "localhost:PORT"}, ""),
    "tls-proxy": ("tls", {**KNOWN, "PIP_PROXY": "PROXY"}, ""),
    "client-cert": ("mutual", {**KNOWN, "PIP_CLIENT_CERT": "FOLDER/client.pem"}, ""),
    "bad-client-cert": ("mutual", {**KNOWN, "PIP_CLIENT_CERT": "FOLDER/ca"}, "PIP_CLIENT_CERT="),
    "no-client-cert": ("mutual", KNOWN, "HTTP 400 Bad Request"),
}
"""A program, the variables under which it is asked, and the reason for which it does not give the wheel."""
EXTRA = ("pypiserver", "devpi")
"""Programs of the extra `test-indexes`, which is installed where whole sweeps are run."""
ROWS = [
    pytest.param(*row, id=name, marks=[pytest.mark.exhaustive] if row[0] in EXTRA else [])
    for name, row in INDEXES.items()
]


@pytest.mark.parametrize(("peer", "variables", "reason"), ROWS)
def test_index_of_a_program(  # noqa: PLR0913, PLR0917 - three of them are the case
    peer: str,
    variables: Mapping[str, str],
    reason: str,
    pin: ModelPin,
    authority: Authority,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It gives the wheel with nothing said, be it of a certificate that is not checked, or it is told why it does not.

    A proxy of pip's is asked in its place.
    """
    words = {"PORT": str(request.getfixturevalue(peer).port), "FOLDER": str(authority.ca.parent)}
    proxy: Peer | None = request.getfixturevalue("tinyproxy") if "PIP_PROXY" in variables else None
    words["PROXY"] = f"http://{PROXY_LOGIN}@127.0.0.1:{proxy.port}" if proxy else ""
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    monkeypatch.setenv("MODELBOOT_BASE_URL", authority.ca.parent.as_uri())  # it has no wheel
    for name, text in variables.items():
        monkeypatch.setenv(name, re.sub("|".join(words), lambda found: words[found[0]], text))
    if reason:
        with pytest.raises(DownloadError) as failed:
            ensure_model(pin)
        assert reason in failed.value.attempts[-1].reason
        assert PASSWORD not in str(failed.value)
    else:
        assert ensure_model(pin).source == "index"
    if proxy:
        assert f"CONNECT localhost:{words['PORT']} " in "\n".join(proxy.asked)
    assert tuple(capfd.readouterr()) == ("", "")


ASK_UV = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--no-cache", "--target"]
TABLE = '[[index]]\nname = "corp"\nurl = "http://127.0.0.1:PORT/simple/"\ndefault = true'
UV_INDEXES: dict[str, tuple[dict[str, str], str]] = {
    "default": ({"UV_DEFAULT_INDEX": f"http://{LOGIN}@127.0.0.1:PORT/simple"}, ""),
    "named": (
        {"UV_DEFAULT_INDEX": "http://127.0.0.1:PORT/none", "UV_INDEX": "corp=http://127.0.0.1:PORT/simple", **UV_LOGIN},
        "",
    ),
    "uv.toml": (UV_LOGIN, TABLE),
    "links": ({"UV_DEFAULT_INDEX": "http://127.0.0.1:PORT/none", "UV_FIND_LINKS": "conf,conf/my links"}, ""),
    "links-page": (
        {"UV_DEFAULT_INDEX": "http://127.0.0.1:PORT/none", "UV_FIND_LINKS": "http://127.0.0.1:PORT/simple/en-tiny-sm/"},
        "",
    ),
    "links-beside-uv.toml": ({}, 'no-index = true\nfind-links = ["my links"]'),
    "no-index": ({"UV_DEFAULT_INDEX": "http://127.0.0.1:PORT/simple"}, "no-index = true"),
}
"""Variables, and the text of the uv.toml that UV_CONFIG_FILE names; only with the last of them no wheel is found."""


@pytest.mark.parametrize("case", UV_INDEXES)
def test_index_that_uv_asks(
    case: str, wheel: BuiltWheel, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same settings uv asks for the same page with the same login, and finds the wheel, or does not."""
    variables, text = UV_INDEXES[case]
    peers.need(packages=["uv", *(["tomllib"] if text else [])])
    publish_to_index(server, wheel.path)
    shutil.copytree(wheel.path.parent, tmp_path / "conf" / "my links")
    (tmp_path / "conf" / "uv.toml").write_text(text.replace("PORT", str(server.port)), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UV_NO_CONFIG")
    given = {"MODELBOOT_INDEX": "1", "MODELBOOT_BASE_URL": tmp_path.as_uri(), "UV_CONFIG_FILE": "conf/uv.toml"}
    for name, value in {**given, **variables}.items():
        monkeypatch.setenv(name, value.replace("PORT", str(server.port)))

    def pages() -> set[tuple[str, str | None]]:
        asked = server.requests[before:]
        return {(each.path, each.headers.get("Authorization")) for each in asked if each.path.startswith("/simple/")}

    before = 0
    line = [*ASK_UV, str(tmp_path / "uv"), f"{wheel.name}=={wheel.version}"]
    done = subprocess.run(line, check=False, capture_output=True, timeout=60)
    by_uv, before = pages(), len(server.requests)
    with pytest.raises(DownloadError) if done.returncode else nullcontext():
        assert ensure_model(wheel.pin_at(None)).source == "index"
    assert pages() == by_uv
    assert (done.returncode == 0) == (case != "no-index"), done.stderr
