"""Variables of other programs: which proxy, which .netrc, which certificates, and no password in what is shown."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelboot._network.client import HttpClient
from modelboot._network.response import RequestError
from modelboot._network.trust_env import TrustEnv, authorization_for, origin_of, proxy_for, read_trust_env
from modelboot._settings import Settings, read_settings
from modelboot.errors import SettingsError
from support.peers import Authority, make_authority
from support.server import ModelServer, Reply, basic

HTTP, HTTPS = "http://release.example.com/x.whl", "https://release.example.com/x.whl"
PROXY, OTHER = "http://proxy:3128", "http://other:3128"


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTP_PROXY": PROXY}, HTTP, PROXY),
        ({"HTTP_PROXY": PROXY}, HTTPS, None),
        ({"https_proxy": "", "HTTPS_PROXY": OTHER}, HTTPS, None),
        ({"ALL_PROXY": OTHER, "HTTPS_PROXY": PROXY}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "https://proxy:3128/"}, HTTPS, "https://proxy:3128/"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"ALL_PROXY": OTHER, "HTTP_PROXY": PROXY, "no_proxy": "example.com"}, HTTP, None),
    ],
)
def test_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None) -> None:
    """The variable of the URL's scheme counts, then ALL_PROXY; a header named Proxy of a CGI request does not."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert proxy_for(url, TrustEnv()) == proxy


@pytest.mark.parametrize(
    ("exceptions", "url", "is_covered"),
    [
        ("EXAMPLE.com", "http://release.Example.COM/", True),
        (".example.com", "http://release.example.com/", True),
        ("*.example.com", "http://release.example.com/", True),
        (" a ,, *", "http://anything/", True),
        ("example.com:80", "http://example.com/", True),
        ("a,10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.1.2.3/8", "http://10.9.9.9/", True),
        ("10.0.0.0/8:81", "http://10.1.2.3:81/", True),
        ("[::1]", "http://[::1]:81/", True),
        ("[::1]:81", "http://[::1]:81/", True),
        ("0:0:0:0:0:0:0:1", "http://[::1]/", True),
        ("example.com", "http://notexample.com/", False),
        ("example.com", "http://example.com.evil.org/", False),
        ("example.com:80", "https://example.com/", False),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.0.0.0/8:81", "http://10.1.2.3/", False),
        ("10.0.0.0/99", "http://10.1.2.3/", False),
        ("10.0.0.0/8", "http://[fd12::1]/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str, *, is_covered: bool) -> None:
    """What NO_PROXY covers is asked directly; what merely looks like an entry of it goes through the proxy."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxy_for(url, TrustEnv()) == (None if is_covered else PROXY)


NETRC = """\
machine mirror.test
  login ann
  password of-the-mirror
machine only.test password only
machine account.test account ann password pw
"""
TOKENS = ((origin_of("https://token.test/"), "t0ken"),)
BARE, ASKED = "https://mirror.test/x.whl", "https://user:pw@mirror.test/x.whl"
ELSEWHERE, TOKEN = "https://other.test/x.whl", "https://token.test/x.whl"


@pytest.mark.parametrize(
    ("url", "first_url", "header"),
    [
        ("https://mirror.test:443/y.whl", ASKED, basic("user:pw")),
        ("https://token@a/", "https://token@a/", basic("token:")),
        (ELSEWHERE, ASKED, None),
        ("http://a/x.whl", "https://user:pw@a/x.whl", None),
        ("https://planted:pw@mirror.test/x.whl", ASKED, basic("user:pw")),
        # .netrc
        (BARE, BARE, basic("ann:of-the-mirror")),
        ("https://mirror.test:444/", BARE, basic("ann:of-the-mirror")),
        (ASKED, ASKED, basic("user:pw")),
        ("https://only.test/", BARE, basic(":only")),
        ("https://account.test/", BARE, basic("ann:pw")),
        # a token
        (TOKEN, TOKEN, "Bearer t0ken"),
        ("https://token.test:443/y.whl", TOKEN, "Bearer t0ken"),
        ("https://user:pw@token.test/", "https://user:pw@token.test/", basic("user:pw")),
        ("https://token.test:444/", "https://token.test:444/", None),
        ("http://token.test/", "http://token.test/", None),
        (ELSEWHERE, TOKEN, None),
        (TOKEN, ELSEWHERE, None),
    ],
)
def test_authorization(tmp_path: Path, url: str, first_url: str, header: str | None) -> None:
    """Login and token go to their scheme, host and port only; what the URL does not say .netrc says for each host."""
    (tmp_path / "netrc").write_text(NETRC, "utf-8")
    assert authorization_for(url, first_url, TrustEnv(tokens=TOKENS, netrc=tmp_path / "netrc")) == header


@pytest.mark.parametrize(("first_url", "header"), [(ELSEWHERE, basic("anybody:everywhere")), (ASKED, None)])
def test_default_login_of_netrc(tmp_path: Path, first_url: str, header: str | None) -> None:
    """The login for any host goes to hosts that the user names, and to none that a server redirects to."""
    (tmp_path / "netrc").write_text("default login anybody password everywhere\n", "utf-8")
    assert authorization_for(ELSEWHERE, first_url, TrustEnv(netrc=tmp_path / "netrc")) == header


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"machine mirror.test login ann s3cret", "NetrcParseError"),
        (b"machine \xff\xfe s3cret", ""),
        (None, "FileNotFoundError"),
    ],
    ids=["mistyped", "binary", "gone"],
)
def test_broken_netrc(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None, why: str) -> None:
    """A .netrc that cannot be read is warned of by name, none of its content shown, and no login is sent."""
    path = tmp_path / "netrc"
    if content is not None:
        path.write_bytes(content)
    assert authorization_for(BARE, BARE, TrustEnv(netrc=path)) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path} cannot be used: {why}")
    assert "s3cret" not in caplog.text


def distrust(url: str) -> str:
    """Ask a server under the settings in force; return why its certificate is not accepted, or nothing where it is."""
    settings = read_settings()
    try:
        with HttpClient(settings.limits(), read_trust_env(settings)) as client, client.stream(url):
            return ""
    except RequestError as error:
        return f"{error.kind}: {error}"


@pytest.fixture
def url(tls_server: ModelServer) -> str:
    """Return a URL of a server whose CA no system knows."""
    tls_server.serve("/x.whl", Reply())
    return f"{tls_server.url}/x.whl"


@pytest.fixture(scope="session")
def places(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the CA as a file, and as a folder with it under the name OpenSSL looks for."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.ca)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    folder = tmp_path_factory.mktemp("hashed")
    shutil.copy(authority.ca, folder / f"{name}.0")
    return {"file": str(authority.ca), "folder": str(folder)}


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("CURL_CA_BUNDLE", "file"),
        ("REQUESTS_CA_BUNDLE", "folder"),
        ("SSL_CERT_FILE", "file"),
        ("SSL_CERT_DIR", "folder"),
    ],
)
def test_trusted(url: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, place: str) -> None:
    """A CA in the file or folder that a variable of requests, curl or OpenSSL names is trusted, for its own hosts."""
    monkeypatch.setenv(variable, places[place])
    assert distrust(url) == ""
    other = distrust(url.replace("127.0.0.1", "localhost"))
    assert other.startswith("certificate: certificate of localhost not accepted (Hostname mismatch")


def test_distrusted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private CA is not trusted unasked, and no variable that switches verification off elsewhere does so here."""
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    told = distrust(url)
    assert told.startswith("certificate: certificate of 127.0.0.1 not accepted (")
    assert told.endswith("to trust its CA set SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_bundle_of_no_use(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """A bundle that is absent or no PEM is the caller's to correct: the variable that names it is told."""
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match=r"^CURL_CA_BUNDLE='.*ca\.pem' is not a file or folder of PEM certificates"):
        distrust(url)


@pytest.mark.parametrize("system", ["none", "file", "folder"])
def test_certifi(
    url: str, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """Certifi's are trusted where the system trusts none, neither in a file nor in a folder that is read later."""
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs.pem").touch()
    if system == "file":
        shutil.copy(make_authority(tmp_path, ["mirror.test"]).ca, tmp_path / "certs.pem")
    elif system == "folder":
        (tmp_path / "certs" / "something").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certs.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    monkeypatch.setitem(sys.modules, "certifi", SimpleNamespace(where=lambda: places["file"]))
    assert bool(distrust(url)) is (system != "none")
    monkeypatch.setitem(sys.modules, "certifi", None)
    assert distrust(url).startswith("certificate: ")


@pytest.mark.parametrize("address", ["https://user:s3cret@hub", "https://user:s3cret@[hub"])
def test_hub_shown_without_a_secret(address: str) -> None:
    """What a debugger shows of these variables has no password of HF_ENDPOINT, whether that can be used or not."""
    assert "s3cret" not in repr(read_trust_env(Settings(), {"HF_ENDPOINT": address}))


def test_ca_bundle_of_two() -> None:
    """Of two bundles that of requests counts, as requests itself has it."""
    env = {"CURL_CA_BUNDLE": "/curl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert read_trust_env(Settings(), env).ca_bundle == ("REQUESTS_CA_BUNDLE", Path("/requests.pem"))
    assert read_trust_env(Settings(), env | {"REQUESTS_CA_BUNDLE": ""}).ca_bundle == (
        "CURL_CA_BUNDLE",
        Path("/curl.pem"),
    )


@pytest.mark.parametrize(
    ("named", "there", "found"),
    [
        (None, [], None),
        (None, [".netrc"], ".netrc"),
        (None, ["_netrc"], "_netrc"),
        ("", [".netrc"], ".netrc"),
        (" ~/other ", [".netrc", "other"], "other"),
        ("{home}/other", [".netrc", "other"], "other"),
        ("{home}/absent", [".netrc"], None),
    ],
)
def test_netrc(
    named: str | None, there: list[str], found: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It lies in the home folder under either name, or where NETRC says; one that is not there is none at all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in there:
        (tmp_path / name).touch()
    env = {} if named is None else {"NETRC": named.format(home=tmp_path)}
    assert read_trust_env(Settings(), env).netrc == (found and tmp_path / found)
