"""The rows of README's "Behind a firewall", each run by bash as written, against real programs on loopback."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.children import STUB_SPACY
from support.peers import Authority, closed_port, nginx, squid
from support.readme import README, table
from support.server import ModelServer, Reply
from support.sources import publish_to_index
from support.wheels import BuiltWheel, build_wheel

SECTION = README.partition("\n## Behind a firewall\n")[2].partition("\n## ")[0]
ROWS = table("symptom")
RELEASES = "explosion/spacy-models/releases/download"
SECRETS = ("password@", "s3cret")
"""How the recipes spell every password, before its host, and every token."""
NAME = "".join(re.findall(r"`modelboot install (\w+)`", SECTION)[:1])


@dataclass(frozen=True)
class Place:
    """What stands in for the world of a row.

    Attributes:
        wheel: The model.
        authority: The CA of the servers that have TLS.
        site: A web server's root, with the wheel where the official host has it and where the mirror has it.
        server: Has the wheel where a store with a token, a hub and a package index have it.
        env: The variables of the shell.
        running: Ends programs.
    """

    wheel: BuiltWheel
    authority: Authority
    site: Path
    server: ModelServer
    env: dict[str, str]
    running: ExitStack

    def mirror(self) -> dict[str, str]:
        """Put nginx with TLS and a login in the place of the mirror; the machine knows its CA."""
        self.env["SSL_CERT_FILE"] = str(self.authority.ca)
        running = self.running.enter_context(nginx(self.site, authority=self.authority, login="ann:password"))
        return {"mirror.example.org/": f"localhost:{running.port}/"}

    def proxy(self) -> dict[str, str]:
        """Put squid with a login in the place of the proxy, and behind it a release host with a private CA."""
        release = self.running.enter_context(nginx(self.site, authority=self.authority))
        running = self.running.enter_context(squid("pat:password", release))
        ca = shlex.quote(str(self.authority.ca))
        return {"proxy.example.org:3128": f"127.0.0.1:{running.port}", "/etc/ssl/example-ca.pem": ca}

    def wheelhouse(self) -> dict[str, str]:
        """Fill the folder where there is a network, which is a file URL here; afterwards there is none."""
        fetch = re.findall(r"`(modelboot fetch [^`]+)`", SECTION)[0]
        house = self.site.with_name("house")
        house.mkdir()
        bash(fetch, house, {**self.env, "MODELBOOT_BASE_URL": (self.site / "models").as_uri()})
        return {"$PWD/wheelhouse": shlex.quote(str(house / "wheelhouse"))}

    def index(self) -> dict[str, str]:
        """Put a server of the tests in the place of the index, and block the release host."""
        self.env["HTTPS_PROXY"] = self.env["CLOSED"]
        return {"https://example.org/": f"{self.server.url}/"}

    def token(self) -> dict[str, str]:
        """Put a server in the place of the store, and see in the end that it was sent the token."""

        def see() -> None:
            sent = [request.headers.get("Authorization") for request in self.server.requests]
            assert sent == ["Bearer s3cret-token"]

        self.running.callback(see)
        return {"https://store.example.org/": f"{self.server.url}/"}

    def hub(self) -> dict[str, str]:
        """Put a server that lacks the wheel in the place of the mirror, and one that has it in that of the hub."""
        return {
            "https://mirror.example.org/": f"{self.server.url}/no/",
            "https://hub.example.org/": f"{self.server.url}/",
        }


PLAYS: dict[str, tuple[Callable[[Place], dict[str, str]], str]] = {
    "mirror: any web server": (Place.mirror, "release"),
    "the mirror wants a token": (Place.token, "release"),
    "one mirror is not enough": (Place.hub, "release"),
    "only a proxy leads out": (Place.proxy, "release"),
    "only a package index": (Place.index, "index"),
    "the index is set up for uv": (Place.index, "index"),
    "there is no network": (Place.wheelhouse, "wheelhouse"),
}
"""By what a row says: what is put in the place of its hosts, and the source the model comes from."""


@pytest.fixture
def place(authority: Authority, server: ModelServer, tmp_path: Path) -> Iterator[Place]:
    """Return a place where a small wheel is pinned to the name of the recipes, at the official release."""
    commands = Path(sys.executable).parent
    if shutil.which("modelboot", path=str(commands)) is None:
        pytest.skip(f"the command modelboot is not installed beside {sys.executable}")
    members = {f"{NAME}/__init__.py": b"", f"{NAME}/meta.json": b'{"lang": "fr", "name": "core_news_sm"}'}
    wheel = build_wheel(tmp_path / "model", name=NAME, version="3.8.0", members=members)
    for tree in (RELEASES, "models"):
        shutil.copytree(wheel.path.parent, (tmp_path / "site" / tree / wheel.release_path).parent)
    for path in (f"/models/{wheel.release_path}", f"/{NAME}/resolve/main/{wheel.path.name}"):
        server.serve(path, Reply(body=wheel.content))
    publish_to_index(server, wheel.path)
    url = f"https://github.com/{RELEASES}/{wheel.release_path}#sha256={wheel.sha256}"
    (tmp_path / "pins.txt").write_text(f"{NAME} @ {url}\n", "utf-8")
    env = {**os.environ, "PYTHONPATH": str(STUB_SPACY["PYTHONPATH"])}
    env |= {"PATH": f"{commands}{os.pathsep}{env['PATH']}"}
    env |= {"MODELBOOT_PINS": str(tmp_path / "pins.txt"), "MODELBOOT_INDEX": "1"}
    with closed_port() as port, ExitStack() as running:
        env["CLOSED"] = f"http://127.0.0.1:{port}"
        yield Place(wheel, authority, tmp_path / "site", server, env, running)


@pytest.mark.parametrize("symptom", PLAYS)
def test_row(symptom: str, place: Place, target: Path) -> None:
    """Run as written, with the hosts of its example replaced, it installs the model from the source it is about."""
    play, source = PLAYS[symptom]
    ((_, settings, command),) = [row for row in ROWS if symptom in row[0]]
    exports = [f"export {assignment}" for assignment in re.findall(r"`([^`]+)`", settings)]
    script = "\n".join([*exports, command.strip("`")])
    for old, new in play(place).items():
        assert script.count(old) == 1, f"the row has {old!r} no more"
        script = script.replace(old, new)
    assert "example" not in script
    printed = bash(script, target.parent, place.env)
    assert printed.splitlines()[-1].startswith(f"{NAME} 3.8.0  {source}, ")
    assert (target / NAME / "meta.json").is_file()


def bash(script: str, cwd: Path, env: dict[str, str]) -> str:
    """Run a script that must succeed and tell no secret; return what it prints."""
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [secret for secret in SECRETS if secret in f"{done.stdout}{done.stderr}"] == []
    return done.stdout


def test_rows_are_all_run() -> None:
    """Each row is one that is tested above, and each of them installs with one command."""
    assert [sum(symptom in row[0] for row in ROWS) for symptom in PLAYS] == [1] * len(ROWS)
    assert {row[2] for row in ROWS} == {f"`modelboot install {NAME}`"}
