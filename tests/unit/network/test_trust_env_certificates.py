"""Which certificate authorities are trusted, seen in handshakes without a network."""

from __future__ import annotations

import importlib
import shutil
import ssl
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from modelboot._network.trust import trusted
from modelboot.errors import SettingsError
from support.peers import Authority, make_authority

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot._settings import Settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a private CA and a certificate of its for mirror.test."""
    return make_authority(tmp_path_factory.mktemp("ca"), ["mirror.test"])


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the machine the tests run on is told to trust."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def plain(settings: Settings) -> Settings:
    """Return settings without a bundle."""
    return replace(settings, ca_bundle=None)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the system trust nobody, and return the empty folder it looks in."""
    (tmp_path / "certs").mkdir()
    (tmp_path / "none.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    return tmp_path / "certs"


def put_certifi_in_place(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """Let certifi bring a bundle."""
    monkeypatch.setitem(sys.modules, "certifi", SimpleNamespace(where=lambda: str(bundle)))


def handshake(context: ssl.SSLContext, authority: Authority, host: str = "mirror.test") -> None:
    """Shake hands with a server of the private CA, in memory; raise what the client thinks of it."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(authority.certificate, authority.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(back, there, server_hostname=host)
    server = server_context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.getpeercert()


def refused(context: ssl.SSLContext, authority: Authority, host: str = "mirror.test") -> str:
    """Have the handshake fail for want of trust, and return why."""
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed") as error:
        handshake(context, authority, host)
    return error.value.verify_message


def hashed(authority: Authority, folder: Path) -> Path:
    """Put the CA into a folder under the name OpenSSL looks for."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.ca)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    folder.mkdir(exist_ok=True)
    shutil.copy(authority.ca, folder / f"{name}.0")
    return folder


def test_trusted_by_default(plain: Settings, authority: Authority) -> None:
    """A private CA is not trusted unasked."""
    assert refused(trusted(plain), authority)


def test_trusted_bundle_file(plain: Settings, authority: Authority) -> None:
    """A bundle that is a file is trusted."""
    handshake(trusted(replace(plain, ca_bundle=("CURL_CA_BUNDLE", authority.ca))), authority)


def test_trusted_bundle_folder(plain: Settings, authority: Authority, tmp_path: Path) -> None:
    """A bundle that is a folder is trusted."""
    folder = hashed(authority, tmp_path / "folder")
    handshake(trusted(replace(plain, ca_bundle=("REQUESTS_CA_BUNDLE", folder))), authority)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_trusted_by_openssls_variables(
    plain: Settings, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What OpenSSL's own variables name is trusted."""
    place = authority.ca if variable == "SSL_CERT_FILE" else hashed(authority, tmp_path / "folder")
    monkeypatch.setenv(variable, str(place))
    handshake(trusted(plain), authority)


@pytest.mark.parametrize("bundle", ["private", "none"])
def test_trusted_other_host(plain: Settings, authority: Authority, bundle: str) -> None:
    """A certificate of another host is refused, whoever vouches for it: nothing switches verification off."""
    chosen = replace(plain, ca_bundle=("CURL_CA_BUNDLE", authority.ca)) if bundle == "private" else plain
    context = trusted(chosen)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert refused(context, authority, "other.test")


@pytest.mark.parametrize("variable", ["PYTHONHTTPSVERIFY", "CURL_SSL_NO_VERIFY", "GIT_SSL_NO_VERIFY"])
def test_trusted_whatever_is_set(
    plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No variable that switches verification off elsewhere does so here."""
    monkeypatch.setenv(variable, "0" if variable == "PYTHONHTTPSVERIFY" else "1")
    assert refused(trusted(plain), authority)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nx\n"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_trusted_bundle_of_no_use(plain: Settings, tmp_path: Path, variable: str, content: bytes | None) -> None:
    """A bundle that is absent or no PEM is told with the variable that names it."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"is not a file or folder of PEM certificates") as error:
        trusted(replace(plain, ca_bundle=(variable, path)))
    assert (error.value.variable, error.value.value) == (variable, str(path))


@pytest.mark.usefixtures("empty")
def test_trusted_system_empty(plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system trusts nobody certifi's are trusted."""
    put_certifi_in_place(monkeypatch, authority.ca)
    handshake(trusted(plain), authority)


@pytest.mark.usefixtures("empty")
def test_trusted_system_empty_real_certifi(plain: Settings) -> None:
    """The real certifi serves, where it is installed."""
    pytest.importorskip("certifi", reason="certifi is not installed")
    assert len(trusted(plain).get_ca_certs()) > 50


@pytest.mark.usefixtures("empty")
def test_trusted_nobody(plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the system nor certifi has any, nobody is trusted."""

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert refused(trusted(plain), authority)


def test_trusted_system_folder_before_certifi(
    plain: Settings, authority: Authority, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system whose certificates lie in a folder is not taken for empty, though none is read yet."""
    (empty / "something").touch()
    put_certifi_in_place(monkeypatch, authority.ca)
    assert refused(trusted(plain), authority)


def test_trusted_system_before_certifi(
    plain: Settings, authority: Authority, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that trusts somebody is not given certifi's besides."""
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other", ["mirror.test"])
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))
    put_certifi_in_place(monkeypatch, authority.ca)
    assert not [*empty.iterdir()]
    assert refused(trusted(plain), authority)
