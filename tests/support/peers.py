"""Real programs of the distribution, started on loopback: nginx, tinyproxy and squid, and a CA made with openssl."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MIRROR_LOGIN = "ann:pa55word-of-the-mirror"
"""The login that the mirror of tests/programs/network asks for."""
MIRROR_NAMES = ("localhost", "mirror.example.org", "storage.example.org", "github.com")
"""Hosts its certificate is for; only localhost can be resolved."""
READY_S = 20
SQUID_LOGIN = Path("/usr/lib/squid/basic_ncsa_auth")
NETWORK_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NETRC"),
)
"""Everything that says how the network is reached, and may be set where the tests run."""
_CA_CONFIG = """\
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:false
subjectAltName = {names}
authorityKeyIdentifier = keyid
"""
_NGINX = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  log_format full '$status $remote_user "$http_authorization" "$http_range" $host $request';
  access_log {folder}/access.log full;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  types {{ text/html html; }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port}{tls};
    {certificates}
    root {root};
    {login}
    {rules}
  }}
}}
"""
_TINYPROXY = """\
Listen 127.0.0.1
Port {port}
Timeout 60
LogFile "{folder}/proxy.log"
LogLevel Connect
{login}
"""
_SQUID = """\
http_port 127.0.0.1:{port}
pid_filename none
cache deny all
cache_log {folder}/cache.log
access_log stdio:{folder}/proxy.log
coredump_dir {folder}
visible_hostname proxy.test
shutdown_lifetime 0 seconds
pinger_enable off
url_rewrite_program {folder}/names
url_rewrite_children 1 startup=1
url_rewrite_access allow CONNECT
auth_param basic program {helper} {folder}/passwords
auth_param basic children 1 startup=1
auth_param basic realm proxy
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""


def need(*programs: str) -> None:
    """Skip the test, saying why, where a program is not installed.

    Args:
        programs: Names as on PATH.
    """
    missing = [program for program in programs if shutil.which(program, path=_PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


_PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"  # Debian's servers lie where users have no PATH to


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
    (folder / "config").write_text(_CA_CONFIG.format(names=alternatives), "utf-8")
    for name in ("ca", "server"):
        _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    request = ("req", "-new", "-config", "config", "-key")
    _openssl(folder, *request, "ca.key", "-x509", "-days", "2", "-subj", "/CN=A CA", "-extensions", "ca", "-out", "ca")
    _openssl(folder, *request, "server.key", "-subj", "/CN=server", "-out", "server.csr")
    signing = ("x509", "-req", "-in", "server.csr", "-CA", "ca", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(folder, *signing, "-extfile", "config", "-extensions", "server", "-out", "server")
    return Authority(folder / "ca", folder / "server", folder / "server.key")


def _openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Peer:
    """A running program.

    Attributes:
        port: Where it listens on 127.0.0.1.
        log: What it was asked; it appears with the first request.
    """

    port: int
    log: Path

    @property
    def asked(self) -> list[str]:
        """The lines of its log."""
        return self.log.read_text("utf-8").splitlines() if self.log.exists() else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What nginx is to serve.

    Attributes:
        root: The folder.
        authority: Certificates; plain http without.
        login: "user:password" that it asks for; it asks for none when empty.
        rules: Further lines for its configuration.
    """

    root: Path
    authority: Authority | None = None
    login: str = ""
    rules: Sequence[str] = field(default=())


@contextmanager
def nginx(site: Site) -> Iterator[Peer]:
    """Run nginx; the test is skipped where it is not installed.

    Args:
        site: What it serves.

    Yields:
        The running server.
    """
    need("nginx")
    with _workspace() as folder:
        port, authority, login, certificates = free_port(), site.authority, "", ""
        if authority:
            certificates = f"ssl_certificate {authority.certificate}; ssl_certificate_key {authority.key};"
        if site.login:
            (folder / "passwords").write_text(_password_line(folder, site.login), "utf-8")
            login = f'auth_basic "models"; auth_basic_user_file {folder}/passwords;'
        text = _NGINX.format(
            folder=folder,
            port=port,
            tls=" ssl" if authority else "",
            certificates=certificates,
            root=site.root,
            login=login,
            rules="\n    ".join(site.rules),
        )
        (folder / "conf").write_text(text, "utf-8")
        with _running(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/conf"], port, folder):
            yield Peer(port, folder / "access.log")


@contextmanager
def tinyproxy(login: str = "") -> Iterator[Peer]:
    """Run tinyproxy; the test is skipped where it is not installed.

    Args:
        login: "user:password" that it asks for; it asks for none when empty.

    Yields:
        The running proxy, which opens a way to any host.
    """
    need("tinyproxy")
    with _workspace() as folder:
        port = free_port()
        wanted = f"BasicAuth {login.replace(':', ' ', 1)}" if login else ""
        (folder / "conf").write_text(_TINYPROXY.format(folder=folder, port=port, login=wanted), "utf-8")
        with _running(["tinyproxy", "-d", "-c", f"{folder}/conf"], port, folder):
            yield Peer(port, folder / "proxy.log")


@contextmanager
def squid(login: str, leads_to: Peer) -> Iterator[Peer]:
    """Run squid as the only way into a network of its own; the test is skipped where it is not installed.

    Args:
        login: "user:password" that it asks for.
        leads_to: Where every tunnel ends, whatever host was asked for: names that nobody else can resolve.

    Yields:
        The running proxy.
    """
    need("squid", "openssl")
    if not SQUID_LOGIN.exists():
        pytest.skip(f"not installed: {SQUID_LOGIN}")
    with _workspace() as folder:
        port = free_port()
        (folder / "passwords").write_text(_password_line(folder, login), "utf-8")
        names = folder / "names"
        answer = f'OK rewrite-url="127.0.0.1:{leads_to.port}"'
        names.write_text(f"#!/bin/sh\nwhile read -r url rest; do echo '{answer}'; done\n", "utf-8")
        names.chmod(0o755)
        (folder / "conf").write_text(_SQUID.format(folder=folder, port=port, helper=SQUID_LOGIN), "utf-8")
        with _running(["squid", "-N", "-f", f"{folder}/conf"], port, folder):
            yield Peer(port, folder / "proxy.log")


def _password_line(folder: Path, login: str) -> str:
    user, _, password = login.partition(":")
    return f"{user}:{_openssl(folder, 'passwd', '-apr1', password)}\n"


@contextmanager
def _workspace() -> Iterator[Path]:
    """Make a folder for a program that may change its user once it runs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """Run a program until the block ends; it listens when the block starts."""
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PATH": _PATH}, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_listening(process, port, output)
        yield
    finally:
        process.kill()  # none of them has anything to lose
        process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    ends_at = time.monotonic() + READY_S
    while time.monotonic() < ends_at:
        assert process.poll() is None, output.read_text("utf-8", errors="replace")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)  # the pause between two looks
    message = f"{process.args!r} does not listen on {port}: {output.read_text('utf-8', errors='replace')}"
    raise AssertionError(message)


def forget_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset everything that says how the network is reached, and give the user an empty home folder's .netrc.

    Args:
        monkeypatch: Undoes it.
    """
    for variable in NETWORK_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
