"""Real programs, started on loopback: nginx, proxies, package indexes; and a CA made with openssl."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.needs import PATH, missing_packages, missing_programs
from support.wheels import BuiltWheel

MIRROR_LOGIN = "ann:pa55word-of-the-mirror"
"""The login that the mirror of tests/programs/network asks for."""
PROXY_LOGIN = "pat:pa55word-of-the-proxy"
"""That of its proxies."""
MIRROR_NAMES = ("localhost", "mirror.example.org", "storage.example.org", "github.com")
"""Hosts its certificate is for; only localhost can be resolved."""
READY_S = 60
"""After so many seconds a program that does not listen counts as hung."""
PORTS = range(10_000, 32_000)
"""Where the programs listen: below the ports from which a system connects."""
SQUID_LOGIN = Path("/usr/lib/squid/basic_ncsa_auth")
CONFIGS = Path(__file__).parent / "configs"
"""The programs' configurations, with @names@ for what differs."""


def need(*programs: str, packages: Sequence[str] = ()) -> None:
    """Skip the test, saying why, where a program is not installed.

    Args:
        programs: Names as on PATH.
        packages: Names of modules.
    """
    if missing := [*missing_programs(*programs), *missing_packages(*packages)]:
        pytest.skip(f"not installed: {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Authority:
    """A private CA and a server's certificate from it.

    Attributes:
        ca: The CA's certificate, PEM.
        certificate: The server's, PEM.
        key: The server's key, PEM.
    """

    ca: Path
    certificate: Path
    key: Path


def make_authority(folder: Path, names: Sequence[str]) -> Authority:
    """Make a private CA with the openssl program, and a certificate for some host names and 127.0.0.1.

    Args:
        folder: Where the files go; it exists.
        names: Host names the server answers for.
    """
    need("openssl")
    alternatives = ",".join([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"])
    _write("openssl.cnf", folder, names=alternatives)
    for name in ("ca", "server"):
        _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    request = ("req", "-new", "-config", "openssl.cnf", "-key")
    _openssl(folder, *request, "ca.key", "-x509", "-days", "2", "-subj", "/CN=A CA", "-extensions", "ca", "-out", "ca")
    _openssl(folder, *request, "server.key", "-subj", "/CN=server", "-out", "server.csr")
    signing = ("x509", "-req", "-in", "server.csr", "-CA", "ca", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(folder, *signing, "-extfile", "openssl.cnf", "-extensions", "server", "-out", "server")
    return Authority(folder / "ca", folder / "server", folder / "server.key")


def _openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Peer:
    """A running program.

    Attributes:
        port: Where it listens on 127.0.0.1.
        folder: What it writes is in there.
    """

    port: int
    folder: Path

    @property
    def asked(self) -> list[str]:
        """The lines of its log; that of nginx has every request that was answered before."""
        now, log = self.folder / "now", self.folder / "access.log"
        if now.exists():  # it does one thing after another, and writes a line after its answer
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(now))
                asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
                asking.recv(1)
        return log.read_text("utf-8").splitlines() if log.exists() else []


@contextmanager
def nginx(
    root: Path, *, authority: Authority | None = None, login: str = "", wants_certificate: bool = False
) -> Iterator[Peer]:
    """Run nginx; the test is skipped where it is not installed.

    Args:
        root: The folder that it serves.
        authority: Certificates; plain http without.
        wants_certificate: Whether clients need a certificate of that authority.
        login: "user:password" that it asks for; it asks for none when empty.

    Yields:
        The running server.
    """
    tls = ""
    if authority:
        tls = f' ssl; ssl_certificate "{authority.certificate}"; ssl_certificate_key "{authority.key}"'
    if authority and wants_certificate:
        tls += f'; ssl_client_certificate "{authority.ca}"; ssl_verify_client on'
    asked = "auth_basic $realm; auth_basic_user_file passwords;" if login else ""
    words = ("nginx", "-e", "@folder@/error.log", "-c", "@folder@/nginx.conf")
    with _running(*words, password=login, root=root, tls=tls, login=asked) as peer:
        yield peer


@contextmanager
def tinyproxy(login: str) -> Iterator[Peer]:
    """Run tinyproxy, which opens a way to any host; the test is skipped where it is not installed.

    Args:
        login: "user:password" that it asks for.

    Yields:
        The running proxy.
    """
    with _running("tinyproxy", "-d", "-c", "@folder@/tinyproxy.conf", login=login.replace(":", " ", 1)) as peer:
        yield peer


@contextmanager
def squid(login: str, leads_to: Peer) -> Iterator[Peer]:
    """Run squid as the only way into a network of its own; the test is skipped where it is not installed.

    Args:
        login: "user:password" that it asks for.
        leads_to: Where every tunnel ends, whatever host was asked for: names that no other resolver knows.

    Yields:
        The running proxy.
    """
    if not SQUID_LOGIN.exists():
        pytest.skip(f"not installed: {SQUID_LOGIN}")
    # Shared memory has names of the service: without one of its own it would meet that of another squid.
    words = ("squid", "-N", "-n", "at@port@", "-f", "@folder@/squid.conf")
    with _running(*words, password=login, helper=SQUID_LOGIN, to=leads_to.port) as peer:
        yield peer


@contextmanager
def pypiserver(packages: Path, login: str) -> Iterator[Peer]:
    """Run pypiserver; the test is skipped where it is not installed.

    Args:
        packages: The folder of packages.
        login: "user:password" that it asks for.

    Yields:
        The running server, an index at /simple/.
    """
    need(packages=["pypiserver"])
    options = ("-i", "127.0.0.1", "-p", "@port@", "-a", "list,download", "-P", "@folder@/passwords", str(packages))
    with _running(sys.executable, "-m", "pypiserver", "run", *options, password=login) as peer:
        yield peer


@contextmanager
def devpi(data: Path) -> Iterator[Peer]:
    """Run devpi-server; the test is skipped where it is not installed.

    Args:
        data: The folder for its data, which is made.

    Yields:
        The running server, which has no user but root and no index.
    """
    need(packages=["devpi_server"])
    begin = [sys.executable, "-c", "from devpi_server.init import init; init()", "--no-root-pypi", "--serverdir"]
    subprocess.run([*begin, str(data)], check=True, capture_output=True)
    options = ("--serverdir", str(data), "--host", "127.0.0.1", "--port", "@port@")
    cheap = ("--argon2-memory-cost", "8", "--argon2-time-cost", "1", "--argon2-parallelism", "1")  # else 8 s of work
    with _running(sys.executable, "-m", "devpi_server", *options, *cheap) as peer:
        yield peer


def _write(name: str, into: Path, /, **values: object) -> None:
    """Write a configuration with these values into a folder."""
    text = (CONFIGS / name).read_text("utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    (into / name).write_text(text, "utf-8")


@contextmanager
def _running(program: str, *options: str, password: str = "", **values: object) -> Iterator[Peer]:
    """Run a program until the block ends; it listens when the block starts.

    Args:
        program: Its name.
        options: The rest of the command line; its configuration is `@folder@/{program}.conf`.
        password: "user:password" for its file of passwords.
        values: What its configuration is filled with, beside the folder and the port.

    Yields:
        The program.
    """
    need(program, "openssl")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)  # the program may change its user once it runs
        if password:
            user, _, secret = password.partition(":")
            (folder / "passwords").write_text(f"{user}:{_openssl(folder, 'passwd', '-apr1', secret)}\n", "utf-8")
        process, port = _start([program, *options], folder, values)
        try:
            yield Peer(port, folder)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def _start(words: list[str], folder: Path, values: Mapping[str, object]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program on a port that is free; another program may take the port first, so there are three tries."""
    output, env = folder / "output", {**os.environ, "PATH": PATH}
    for _ in range(3):
        port = _free_port()
        for path in CONFIGS.iterdir():
            _write(path.name, folder, folder=folder, port=port, **values)
        command = [word.replace("@folder@", str(folder)).replace("@port@", str(port)) for word in words]
        with output.open("wb") as file:
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=file, stderr=subprocess.STDOUT)
        if _listens(process, port):
            return process, port
    message = f"{words[0]} does not listen: {output.read_text('utf-8', errors='replace')}"
    raise AssertionError(message)


def _free_port() -> int:
    """Find a port on loopback that no process listens on."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.choice(PORTS)))  # noqa: S311 - no secret
            return int(probe.getsockname()[1])


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a program listens, and return True if it does."""
    ends_at = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < ends_at:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process.poll() is None
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)  # the pause between two looks
    process.kill()
    process.wait()
    return False


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port on loopback that refuses every connection until the block ends.

    Yields:
        The port.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Company:
    """A mirror with a certificate of a private CA and a login, as one test sees it.

    Attributes:
        mirror: The nginx before the release tree.
        authority: The CA.
        tree: The release tree.
        monkeypatch: Sets variables.
        before: How often the mirror was asked by other tests.
    """

    mirror: Peer
    authority: Authority
    tree: Path
    monkeypatch: pytest.MonkeyPatch
    before: int

    @property
    def asked(self) -> list[str]:
        """What the mirror was asked in this test."""
        return self.mirror.asked[self.before :]

    def set(self, **variables: object) -> None:
        """Set variables."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, str(value))

    def use(self, *, host: str = "", path: str = "") -> None:
        """Have models fetched from the mirror, and its CA known.

        Args:
            host: A name of it; localhost when empty.
            path: What follows the host.
        """
        at = f"{MIRROR_LOGIN}@{host or f'localhost:{self.mirror.port}'}"
        self.set(SSL_CERT_FILE=self.authority.ca, MODELBOOT_BASE_URL=f"https://{at}{path}")

    def publish(self, wheel: BuiltWheel, folder: str = ".") -> None:
        """Put a wheel into the release tree, or one in a folder of it."""
        place = self.tree / folder / wheel.release_path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel.path, place)
