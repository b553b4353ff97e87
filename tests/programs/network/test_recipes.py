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
from support.peers import Authority, Site, closed_port, nginx, squid
from support.server import ModelServer, Reply
from support.sources import publish_to_index
from support.wheels import BuiltWheel, build_wheel

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
SECTION = README.partition("\n## Behind a firewall\n")[2].partition("\n## ")[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("|")][2:]
RELEASES = "explosion/spacy-models/releases/download"
SECRETS = ("password@", "s3cret")
"""How the recipes spell every password, before its host, and every token."""
MODEL = re.search(r"`modelboot install (\w+)`", SECTION)
NAME = MODEL[1] if MODEL else ""


@dataclass(frozen=True)
class Place:
    """What stands in for the world of a row: a model of that name, and what runs until the row has been played."""

    wheel: BuiltWheel
    authority: Authority
    folder: Path
    env: dict[str, str]
    running: ExitStack

    def site(self, tree: str) -> Path:
        """Return a web server's root that has the wheel below a folder."""
        root = self.folder / "site"
        (root / tree / self.wheel.release_path).parent.mkdir(parents=True)
        shutil.copy(self.wheel.path, root / tree / self.wheel.release_path)
        return root

    def nginx(self, root: Path, *, authority: Authority | None = None, login: str = "") -> int:
        """Run nginx and return its port."""
        return self.running.enter_context(nginx(Site(root=root, authority=authority, login=login))).port

    def server(self, path: str = "") -> ModelServer:
        """Run a server that has the wheel at a path."""
        server = self.running.enter_context(ModelServer())
        server.serve(path, Reply(body=self.wheel.content))
        return server


def mirror(place: Place) -> dict[str, str]:
    """Put nginx with TLS and a login in the place of the mirror; the machine knows its CA."""
    place.env["SSL_CERT_FILE"] = str(place.authority.ca)
    port = place.nginx(place.site("models"), authority=place.authority, login="ann:password")
    return {"mirror.example.org/": f"localhost:{port}/"}


def proxy(place: Place) -> dict[str, str]:
    """Put squid with a login in the place of the proxy, and behind it a release host with a private certificate."""
    site = Site(root=place.site(RELEASES), authority=place.authority)
    port = place.running.enter_context(squid("pat:password", place.running.enter_context(nginx(site)))).port
    ca = shlex.quote(str(place.authority.ca))
    return {"proxy.example.org:3128": f"127.0.0.1:{port}", "/etc/ssl/example-ca.pem": ca}


def wheelhouse(place: Place) -> dict[str, str]:
    """Fill the folder where there is a network, which is a file URL here; afterwards there is none."""
    fetch = re.findall(r"`(modelboot fetch [^`]+)`", SECTION)[0]
    house = place.folder / "house"
    house.mkdir()
    there = {**place.env, "MODELBOOT_BASE_URL": (place.site("release") / "release").as_uri()}
    subprocess.run(["bash", "-c", fetch], check=True, cwd=house, env=there)
    return {"$PWD/wheelhouse": str(house / "wheelhouse")}


def index(place: Place) -> dict[str, str]:
    """Put a server of the tests in the place of the index, and block the release host."""
    server = place.server()
    publish_to_index(server, place.wheel.path)
    place.env["HTTPS_PROXY"] = place.env["CLOSED"]
    return {"https://example.org/": f"{server.url}/"}


def token(place: Place) -> dict[str, str]:
    """Put a server in the place of the store, and see in the end that it was sent the token."""
    server = place.server(f"/models/{place.wheel.release_path}")

    def see() -> None:
        assert [request.headers.get("Authorization") for request in server.requests] == ["Bearer s3cret-token"]

    place.running.callback(see)
    return {"https://store.example.org/": f"{server.url}/"}


def hub(place: Place) -> dict[str, str]:
    """Put nginx that lacks the wheel in the place of the mirror, and a server in that of the hub."""
    server = place.server(f"/{NAME}/resolve/main/{place.wheel.path.name}")
    port = place.nginx(place.folder)
    return {"https://mirror.example.org/": f"http://127.0.0.1:{port}/", "https://hub.example.org/": f"{server.url}/"}


PLAYS: dict[str, tuple[Callable[[Place], dict[str, str]], str]] = {
    "mirror: any web server": (mirror, "release"),
    "the mirror wants a token": (token, "release"),
    "one mirror is not enough": (hub, "release"),
    "only a proxy leads out": (proxy, "release"),
    "only a package index": (index, "index"),
    "the index is set up for uv": (index, "index"),
    "there is no network": (wheelhouse, "wheelhouse"),
}
"""By what a row says: what is put in the place of its hosts, and the source the model comes from."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a small wheel that stands in for the model of the recipes."""
    members = {f"{NAME}/__init__.py": b"", f"{NAME}/meta.json": b'{"lang": "fr", "name": "core_news_sm"}'}
    return build_wheel(tmp_path_factory.mktemp("model"), name=NAME, version="3.8.0", members=members)


@pytest.fixture
def place(model: BuiltWheel, authority: Authority, tmp_path: Path) -> Iterator[Place]:
    """Return a place where the name of the recipes is pinned to that wheel, at the official release."""
    commands = Path(sys.executable).parent
    if shutil.which("modelboot", path=str(commands)) is None:
        pytest.skip(f"the command modelboot is not installed beside {sys.executable}")
    url = f"https://github.com/{RELEASES}/{model.release_path}#sha256={model.sha256}"
    (tmp_path / "pins.txt").write_text(f"{model.name} @ {url}\n", "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    env |= {
        "PATH": f"{commands}{os.pathsep}{env['PATH']}",
        "PYTHONPATH": str(STUB_SPACY["PYTHONPATH"]),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CONFIG": "1",
        "MODELBOOT_PINS": str(tmp_path / "pins.txt"),
        "MODELBOOT_CACHE": "1",
        "MODELBOOT_INDEX": "1",
    }
    with closed_port() as port, ExitStack() as running:
        yield Place(model, authority, tmp_path, {**env, "CLOSED": f"http://127.0.0.1:{port}"}, running)


@pytest.mark.parametrize("symptom", PLAYS)
def test_row(symptom: str, place: Place, target: Path) -> None:
    """Run as written, with the hosts of its example replaced, it installs the model from the source it is about.

    Once the network is gone, a second environment needs none: it has the model from the cache or the folder.
    """
    play, source = PLAYS[symptom]
    ((_, settings, command),) = [row for row in ROWS if symptom in row[0]]
    exports = [f"export {assignment}" for assignment in re.findall(r"`([^`]+)`", settings)]
    script = "\n".join([*exports, command.strip("`")])
    for old, new in play(place).items():
        assert script.count(old) == 1, f"the row has {old!r} no more"
        script = script.replace(old, new)
    assert "example" not in script
    printed = bash(script, place.folder, place.env)
    assert printed.splitlines()[-1].startswith(f"{NAME} 3.8.0  {source}, ")
    assert (target / NAME / "meta.json").is_file()

    place.running.close()
    blocked = ("MODELBOOT_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL")
    second = dict.fromkeys(blocked, place.env["CLOSED"]) | {"MODELBOOT_TARGET": str(place.folder / "second")}
    again = script if source == "wheelhouse" else command.strip("`")
    printed = bash(again, place.folder, {**place.env, **second})
    assert printed.splitlines()[-1].startswith(f"{NAME} 3.8.0  {source if source == 'wheelhouse' else 'cache'}, ")
    assert (place.folder / "second" / NAME / "meta.json").is_file()


def bash(script: str, cwd: Path, env: dict[str, str]) -> str:
    """Run a script that must succeed and tell no secret; return what it prints."""
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [secret for secret in SECRETS if secret in f"{done.stdout}{done.stderr}"] == []
    return done.stdout


def test_rows_are_all_run() -> None:
    """Each row is one that is tested above, and each of them installs with one command."""
    assert len(ROWS) == len(PLAYS)
    assert [sum(symptom in row[0] for row in ROWS) for symptom in PLAYS] == [1] * len(PLAYS)
    assert {row[2] for row in ROWS} == {f"`modelboot install {NAME}`"}
