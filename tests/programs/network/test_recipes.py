"""The rows of README's "Behind a firewall", each run by bash as written, against real programs on loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.peers import Authority, Peer, Site, nginx, squid
from support.real import NAME
from support.server import ModelServer, Reply
from support.sources import publish_to_index

if TYPE_CHECKING:
    from support.wheels import BuiltWheel

pytestmark = pytest.mark.index

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
SECTION = README.partition("\n## Behind a firewall\n")[2].partition("\n## ")[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("|")][2:]
RELEASES = "explosion/spacy-models/releases/download"
PATH = f"{NAME}-3.8.0/{NAME}-3.8.0-py3-none-any.whl"
LOGIN_ENDS = "password@"
"""How the recipes spell every password, before its host."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, real_wheel: BuiltWheel) -> Path:
    """Return a web server's root with the wheel where the official host, and where the mirror has it."""
    root = tmp_path_factory.mktemp("site")
    for tree in (RELEASES, "models"):
        (root / tree / PATH).parent.mkdir(parents=True)
        (root / tree / PATH).symlink_to(real_wheel.path)
    return root


@pytest.fixture
def peers() -> Iterator[ExitStack]:
    """Run programs until the test ends."""
    with ExitStack() as running:
        yield running


Replacements = dict[str, str]


def _mirror(site: Path, authority: Authority, _: BuiltWheel, peers: ExitStack, env: dict[str, str]) -> Replacements:
    """Put nginx with TLS and a login in the place of the mirror; the machine knows its CA."""
    running = peers.enter_context(nginx(Site(root=site, authority=authority, login="ann:password")))
    env["SSL_CERT_FILE"] = str(authority.ca)
    return {"mirror.example.org/": f"localhost:{running.port}/"}


def _proxy(site: Path, authority: Authority, _: BuiltWheel, peers: ExitStack, __: dict[str, str]) -> Replacements:
    """Put squid with a login in the place of the proxy, and behind it a release host with a private certificate."""
    release: Peer = peers.enter_context(nginx(Site(root=site, authority=authority)))
    running = peers.enter_context(squid("pat:password", release))
    return {"proxy.example.org:3128": f"127.0.0.1:{running.port}", "/etc/ssl/example-ca.pem": str(authority.ca)}


def _wheelhouse(_: Path, __: Authority, wheel: BuiltWheel, ___: ExitStack, env: dict[str, str]) -> Replacements:
    """Fill the folder where there is a network, which is a file URL here; afterwards there is none."""
    root = wheel.path.parents[1] / "release"
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).symlink_to(wheel.path)
    fetch = re.findall(r"`(modelboot fetch [^`]+)`", SECTION)[0]
    house = wheel.path.parents[1] / "house"
    house.mkdir()
    there = {**env, "MODELBOOT_BASE_URL": root.as_uri()}
    subprocess.run(["bash", "-c", fetch], check=True, cwd=house, env=there)
    return {"$PWD/wheelhouse": str(house / "wheelhouse")}


def _index(_: Path, __: Authority, wheel: BuiltWheel, peers: ExitStack, env: dict[str, str]) -> Replacements:
    """Put a server of the tests in the place of the index, and block the release host."""
    server = peers.enter_context(ModelServer())
    publish_to_index(server, wheel.path)
    env["HTTPS_PROXY"] = "http://127.0.0.1:9"
    return {"https://example.org/": f"{server.url}/"}


def _token(_: Path, __: Authority, wheel: BuiltWheel, peers: ExitStack, ___: dict[str, str]) -> Replacements:
    """Put a server in the place of the store."""
    server = peers.enter_context(ModelServer())
    server.serve(f"/models/{PATH}", Reply(body=wheel.content))
    peers.callback(lambda: _assert_token_was_sent(server))
    return {"https://store.example.org/": f"{server.url}/"}


def _assert_token_was_sent(server: ModelServer) -> None:
    assert [request.headers.get("Authorization") for request in server.requests] == ["Bearer s3cret-token"]


def _hub(site: Path, _: Authority, wheel: BuiltWheel, peers: ExitStack, __: dict[str, str]) -> Replacements:
    """Put nginx that lacks the wheel in the place of the mirror, and a server in that of the hub."""
    empty = site / "empty"
    empty.mkdir(exist_ok=True)
    mirror = peers.enter_context(nginx(Site(root=empty)))
    hub = peers.enter_context(ModelServer())
    hub.serve(f"/{NAME}/resolve/main/{wheel.path.name}", Reply(body=wheel.content))
    return {
        "https://mirror.example.org/": f"http://127.0.0.1:{mirror.port}/",
        "https://hub.example.org/": f"{hub.url}/",
    }


PLAYS = {
    "mirror: any web server": (_mirror, "release, 16.3 MB"),
    "the mirror wants a token": (_token, "release, 16.3 MB"),
    "one mirror is not enough": (_hub, "release, 16.3 MB"),
    "only a proxy leads out": (_proxy, "release, 16.3 MB"),
    "only a package index": (_index, "index, 16.3 MB"),
    "the index is set up for uv": (_index, "index, 16.3 MB"),
    "there is no network": (_wheelhouse, "wheelhouse"),
}
"""By what a row says: what is put in the place of its hosts, and the source the model comes from."""


@pytest.mark.parametrize("symptom", PLAYS)
def test_row(  # noqa: PLR0913, PLR0917 - fixtures
    symptom: str,
    site: Path,
    authority: Authority,
    real_wheel: BuiltWheel,
    peers: ExitStack,
    target: Path,
    tmp_path: Path,
) -> None:
    """Run as written, with the hosts of its example replaced, it installs the model from the source it is about.

    Once the network is gone, a second environment needs none: it has the model from the cache or the folder.
    """
    play, source = PLAYS[symptom]
    ((_, settings, command),) = [row for row in ROWS if symptom in row[0]]
    exports = [f"export {assignment}" for assignment in re.findall(r"`([^`]+)`", settings)]
    script = "\n".join([*exports, command.strip("`")])
    env = {**_clean_environment(), "MODELBOOT_CACHE": "1"}
    for old, new in play(site, authority, real_wheel, peers, env).items():
        assert script.count(old) == 1, f"the row has {old!r} no more"
        script = script.replace(old, new)
    assert "example" not in script
    done = _bash(script, tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{NAME} 3.8.0  {source}, ")
    assert (target / NAME / "meta.json").is_file()
    assert LOGIN_ENDS not in f"{done.stdout}{done.stderr}"
    assert "s3cret" not in f"{done.stdout}{done.stderr}"

    peers.close()
    second = {**env, **NO_NETWORK, "MODELBOOT_TARGET": str(tmp_path / "second")}
    again = _bash(script if source == "wheelhouse" else command.strip("`"), tmp_path, second)
    assert again.returncode == 0, again.stderr
    where = source if source == "wheelhouse" else "cache"
    assert again.stdout.splitlines()[-1].startswith(f"{NAME} 3.8.0  {where}, ")
    assert (tmp_path / "second" / NAME / "meta.json").is_file()


NO_NETWORK = {
    **dict.fromkeys(("MODELBOOT_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL"), "http://127.0.0.1:9"),
    "PIP_NO_INDEX": "1",
}
"""Nobody listens wherever a program may turn."""


def _bash(script: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, env=env)


def test_rows_are_all_run() -> None:
    """Each row is one that is tested above, and each of them installs with one command."""
    assert len(ROWS) == len(PLAYS)
    assert [sum(symptom in row[0] for row in ROWS) for symptom in PLAYS] == [1] * len(PLAYS)
    assert {row[2] for row in ROWS} == {f"`modelboot install {NAME}`"}


def _clean_environment() -> dict[str, str]:
    """Return what a user's shell has: the commands of this environment, no package index of this machine's own."""
    commands = Path(sys.executable).parent
    if shutil.which("modelboot", path=str(commands)) is None:
        pytest.skip(f"the command modelboot is not installed beside {sys.executable}")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    path = f"{commands}{os.pathsep}{env['PATH']}"
    return {**env, "PATH": path, "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
