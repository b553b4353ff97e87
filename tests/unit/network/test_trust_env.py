"""Proxies, NO_PROXY, .netrc and certificate authorities are taken from where users of requests and curl put them."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelboot._network.trust_env import credentials_for, proxy_for, ssl_context
from modelboot._settings import Settings
from modelboot._trust_env import TrustEnv
from modelboot.errors import SettingsError
from support.peers import Authority, make_authority

HTTP, HTTPS = "http://release.example.com/x.whl", "https://release.example.com/x.whl"
PROXY, OTHER = "http://proxy:3128", "http://other:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the proxies of the machine the tests run on."""
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set variables."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, HTTP, None),
        ({}, HTTPS, None),
        ({"HTTP_PROXY": PROXY}, HTTP, PROXY),
        ({"http_proxy": PROXY}, HTTP, PROXY),
        ({"HTTP_PROXY": PROXY}, HTTPS, None),
        ({"HTTPS_PROXY": PROXY}, HTTPS, PROXY),
        ({"https_proxy": PROXY}, HTTPS, PROXY),
        ({"HTTPS_PROXY": PROXY}, HTTP, None),
        ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, HTTPS, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": OTHER}, HTTPS, None),
        ({"HTTPS_PROXY": ""}, HTTPS, None),
        ({"ALL_PROXY": PROXY}, HTTP, PROXY),
        ({"all_proxy": PROXY}, HTTPS, PROXY),
        ({"ALL_PROXY": OTHER, "HTTPS_PROXY": PROXY}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "me:pw@proxy:3128"}, HTTPS, "http://me:pw@proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy:3128"}, HTTPS, "https://proxy:3128"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, HTTP, PROXY),
        ({"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HTTPS, PROXY),
    ],
    ids=[
        "none-http", "none-https", "http-upper", "http-lower", "http-for-https", "https-upper", "https-lower",
        "https-for-http", "lower-wins", "lower-empty-wins", "empty", "all-upper", "all-lower", "scheme-beats-all",
        "no-scheme", "no-scheme-with-login", "https-proxy", "cgi-upper", "cgi-lower", "cgi-https",
    ],
)  # fmt: skip
def test_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None) -> None:
    """The variable of the URL's scheme counts, then ALL_PROXY; a header named Proxy of a CGI request does not."""
    set_all(monkeypatch, variables)
    assert proxy_for(url) == proxy


COVERED = [
    ("example.com", "http://example.com/"),
    ("example.com", "http://release.example.com/"),
    ("EXAMPLE.com", "http://release.Example.COM/"),
    (".example.com", "http://release.example.com/"),
    ("*.example.com", "http://release.example.com/"),
    ("*", "http://anything/"),
    ("a, *", "http://anything/"),
    (" a , example.com ,b", "http://example.com/"),
    ("a,,example.com,", "http://example.com/"),
    ("example.com:8080", "http://example.com:8080/"),
    ("example.com:80", "http://example.com/"),
    ("example.com:443", "https://example.com/"),
    ("example.com", "http://example.com:8080/"),
    ("*.example.com:8080", "http://release.example.com:8080/"),
    ("localhost", "http://localhost:5000/"),
    ("10.1.2.3", "http://10.1.2.3/"),
    ("10.1.2.3:80", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://10.1.2.3/"),
    ("10.1.2.3/8", "http://10.9.9.9/"),
    ("10.0.0.0/8:81", "http://10.1.2.3:81/"),
    ("::1", "http://[::1]/"),
    ("[::1]", "http://[::1]:81/"),
    ("[::1]:81", "http://[::1]:81/"),
    ("0:0:0:0:0:0:0:1", "http://[::1]/"),
    ("fd00::/8", "http://[fd12::1]/"),
]
NOT_COVERED = [
    ("", "http://example.com/"),
    (",", "http://example.com/"),
    (".", "http://example.com/"),
    ("example.com", "http://notexample.com/"),
    (".example.com", "http://notexample.com/"),
    ("*.example.com", "http://notexample.com/"),
    ("example.com", "http://example.com.evil.org/"),
    ("com.evil.org", "http://example.com/"),
    ("example.com:8080", "http://example.com/"),
    ("example.com:8080", "http://release.example.com:8081/"),
    ("example.com:80", "https://example.com/"),
    ("10.1.2.3", "http://10.1.2.30/"),
    ("10.1.2.3:81", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://11.1.2.3/"),
    ("10.0.0.0/8:81", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://[fd12::1]/"),
    ("10.0.0.0/99", "http://10.1.2.3/"),
    ("fd00::/8", "http://[fe80::1]/"),
    ("[::1]:81", "http://[::1]/"),
    ("http://example.com", "http://example.com/"),
]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(("exceptions", "url"), COVERED)
def test_proxy_exception(monkeypatch: pytest.MonkeyPatch, variable: str, exceptions: str, url: str) -> None:
    """What NO_PROXY covers is asked directly, whichever variable names the proxy."""
    set_all(monkeypatch, {"HTTP_PROXY": PROXY, "ALL_PROXY": OTHER, variable: exceptions})
    assert proxy_for(url) is None


@pytest.mark.parametrize(("exceptions", "url"), NOT_COVERED)
def test_proxy_no_exception(monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str) -> None:
    """What merely looks like an entry of NO_PROXY goes through the proxy."""
    set_all(monkeypatch, {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": exceptions})
    assert proxy_for(url) == PROXY


def test_proxy_login_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the proxy come with it, as they were written."""
    set_all(monkeypatch, {"HTTPS_PROXY": "http://me:p%40w@proxy:3128/"})
    assert proxy_for(HTTPS) == "http://me:p%40w@proxy:3128/"


READS_MORE = sys.version_info >= (3, 11)
"""Before, Python knows no quotes in a .netrc, and wants a password for each machine."""
PASSWORD = "of the mirror" if READS_MORE else "of-the-mirror"
NETRC = f"""\
machine mirror.test
  login ann
  password {f'"{PASSWORD}"' if READS_MORE else PASSWORD}
machine token.test password only
{"machine named.test login bob" if READS_MORE else ""}
default login anybody password everywhere
"""
BARE, ASKED = "https://mirror.test/x.whl", "https://user:pw@mirror.test/x.whl"


@pytest.fixture
def netrc(tmp_path: Path) -> Path:
    """Return a .netrc file."""
    path = tmp_path / "netrc"
    path.write_text(NETRC, "utf-8")
    return path


@pytest.mark.parametrize(
    ("url", "asked_url", "login"),
    [
        (BARE, BARE, None),
        (ASKED, ASKED, "user:pw"),
        ("https://mirror.test/y.whl", ASKED, "user:pw"),
        ("https://us%40er:p%3Aw%2F@mirror.test/", "https://us%40er:p%3Aw%2F@mirror.test/", "us@er:p:w/"),
        ("https://token@mirror.test/", "https://token@mirror.test/", "token:"),
        ("https://other.test/x.whl", ASKED, None),
        ("http://mirror.test/x.whl", ASKED, None),
        ("https://mirror.test:444/x.whl", ASKED, None),
        ("https://sub.mirror.test/x.whl", ASKED, None),
        ("https://planted:pw@other.test/x.whl", ASKED, None),
        ("https://planted:pw@mirror.test/x.whl", ASKED, "user:pw"),
        ("https://planted:pw@mirror.test/x.whl", BARE, None),
    ],
    ids=[
        "none", "own", "other-path", "quoted", "no-password", "other-host", "other-scheme", "other-port", "subdomain",
        "planted-elsewhere", "planted-here", "planted-alone",
    ],
)  # fmt: skip
def test_login_of_url(url: str, asked_url: str, login: str | None) -> None:
    """User and password of the URL that was asked for go to its host only; those of a redirect are never used."""
    assert credentials_for(url, asked_url, None) == login


@pytest.mark.parametrize(
    ("url", "asked_url", "login"),
    [
        (BARE, BARE, f"ann:{PASSWORD}"),
        ("https://mirror.test:444/", BARE, f"ann:{PASSWORD}"),
        (ASKED, ASKED, "user:pw"),
        ("https://token.test/", BARE, ":only"),
        pytest.param(
            "https://named.test/",
            BARE,
            "bob:",
            marks=pytest.mark.skipif(not READS_MORE, reason="Python 3.10 wants a password"),
        ),
        ("https://other.test/", "https://other.test/x.whl", "anybody:everywhere"),
    ],
    ids=["host", "port", "url-wins", "password-alone", "login-alone", "default"],
)
def test_login_of_netrc(netrc: Path, url: str, asked_url: str, login: str) -> None:
    """What the URL does not say .netrc says, for each host its own."""
    assert credentials_for(url, asked_url, netrc) == login


@pytest.mark.parametrize("url", ["https://other.test/", "http://other.test/"])
def test_default_login_of_netrc_goes_to_no_redirect_target(netrc: Path, url: str) -> None:
    """A host that a server names is no host that the user named: it gets no login that is meant for any host."""
    assert credentials_for(url, ASKED, netrc) is None


def test_login_of_netrc_without_default(tmp_path: Path) -> None:
    """A host .netrc does not name gets no login."""
    (tmp_path / "netrc").write_text("machine mirror.test login ann password pw", "utf-8")
    assert credentials_for("https://other.test/", BARE, tmp_path / "netrc") is None


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"machine mirror.test login ann s3cret", "NetrcParseError"), (b"machine \xff\xfe s3cret", "")],
    ids=["mistyped", "binary"],
)
def test_login_of_broken_netrc(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str) -> None:
    """A .netrc that cannot be read is warned of by name, none of its content shown, and no login is sent."""
    path = tmp_path / "netrc"
    path.write_bytes(content)
    assert credentials_for(BARE, BARE, path) is None
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("modelboot._network.trust_env", logging.WARNING)
    assert record.getMessage().startswith(f"{path} cannot be used: {why}")
    assert "s3cret" not in caplog.text


def test_login_of_netrc_that_went_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A .netrc that was there a moment ago is warned of, and no login is sent."""
    assert credentials_for(BARE, BARE, tmp_path / "netrc") is None
    assert "FileNotFoundError" in caplog.text


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
    return settings._replace(trust_env=TrustEnv())


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
    assert refused(ssl_context(plain.trust_env.ca_bundle), authority)


def test_trusted_bundle_file(authority: Authority) -> None:
    """A bundle that is a file is trusted."""
    handshake(ssl_context(("CURL_CA_BUNDLE", authority.ca)), authority)


def test_trusted_bundle_folder(authority: Authority, tmp_path: Path) -> None:
    """A bundle that is a folder is trusted."""
    folder = hashed(authority, tmp_path / "folder")
    handshake(ssl_context(("REQUESTS_CA_BUNDLE", folder)), authority)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_trusted_by_openssls_variables(
    plain: Settings, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What OpenSSL's own variables name is trusted."""
    place = authority.ca if variable == "SSL_CERT_FILE" else hashed(authority, tmp_path / "folder")
    monkeypatch.setenv(variable, str(place))
    handshake(ssl_context(plain.trust_env.ca_bundle), authority)


@pytest.mark.parametrize("bundle", ["private", "none"])
def test_trusted_other_host(plain: Settings, authority: Authority, bundle: str) -> None:
    """A certificate of another host is refused, whoever vouches for it: nothing switches verification off."""
    chosen = (
        plain._replace(trust_env=TrustEnv(ca_bundle=("CURL_CA_BUNDLE", authority.ca))) if bundle == "private" else plain
    )
    context = ssl_context(chosen.trust_env.ca_bundle)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert refused(context, authority, "other.test")


@pytest.mark.parametrize("variable", ["PYTHONHTTPSVERIFY", "CURL_SSL_NO_VERIFY", "GIT_SSL_NO_VERIFY"])
def test_trusted_whatever_is_set(
    plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No variable that switches verification off elsewhere does so here."""
    monkeypatch.setenv(variable, "0" if variable == "PYTHONHTTPSVERIFY" else "1")
    assert refused(ssl_context(plain.trust_env.ca_bundle), authority)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nx\n"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_trusted_bundle_of_no_use(tmp_path: Path, variable: str, content: bytes | None) -> None:
    """A bundle that is absent or no PEM is told with the variable that names it."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"is not a file or folder of PEM certificates") as error:
        ssl_context((variable, path))
    assert (error.value.variable, error.value.value) == (variable, str(path))


@pytest.mark.usefixtures("empty")
def test_trusted_system_empty(plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system trusts nobody certifi's are trusted."""
    put_certifi_in_place(monkeypatch, authority.ca)
    handshake(ssl_context(plain.trust_env.ca_bundle), authority)


@pytest.mark.usefixtures("empty")
def test_trusted_system_empty_real_certifi(plain: Settings) -> None:
    """The real certifi serves, where it is installed."""
    pytest.importorskip("certifi", reason="certifi is not installed")
    assert len(ssl_context(plain.trust_env.ca_bundle).get_ca_certs()) > 50


@pytest.mark.usefixtures("empty")
def test_trusted_nobody(plain: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the system nor certifi has any, nobody is trusted."""

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert refused(ssl_context(plain.trust_env.ca_bundle), authority)


def test_trusted_system_folder_before_certifi(
    plain: Settings, authority: Authority, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system whose certificates lie in a folder is not taken for empty, though none is read yet."""
    (empty / "something").touch()
    put_certifi_in_place(monkeypatch, authority.ca)
    assert refused(ssl_context(plain.trust_env.ca_bundle), authority)


def test_trusted_system_before_certifi(
    plain: Settings, authority: Authority, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that trusts somebody is not given certifi's besides."""
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other", ["mirror.test"])
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))
    put_certifi_in_place(monkeypatch, authority.ca)
    assert not [*empty.iterdir()]
    assert refused(ssl_context(plain.trust_env.ca_bundle), authority)
