"""A company's network: a real nginx as mirror, with a private CA and a login, and real proxies that lead out."""

from __future__ import annotations

import base64
import logging
import re
import shlex
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest

from modelboot import DownloadError, ModelPin, ensure_model, get_nlp
from modelboot.cli import main
from support.peers import MIRROR_LOGIN, PROXY_LOGIN, Company, Peer, closed_port, nginx
from support.wheels import BuiltWheel, large_wheel

USER, PASSWORD = MIRROR_LOGIN.split(":")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NEVER_SUGGESTED = ("verify=", "--trusted-host", "insecure", "cert_none", "skip", "disable", "switch off", "ignore")
HIDDEN = "mirror.example.org"
"""A host that only squid knows; no name server has it."""


def test_mirror_private_ca(company: Company, pin: ModelPin) -> None:
    """With a variable that names the CA, and user:password in the URL, the model comes from the mirror."""
    company.use()
    company.monkeypatch.delenv("SSL_CERT_FILE")
    company.set(REQUESTS_CA_BUNDLE=company.authority.ca)
    model = ensure_model(pin)
    assert (model.source, model.path.is_dir()) == ("release", True)
    assert company.asked[-1].startswith(f"200 {USER} ")


def test_mirror_unknown_ca(company: Company, pin: ModelPin, target: Path) -> None:
    """Without the CA the error names the variables to set, and nothing suggests to do without the check."""
    company.use()
    company.set(SSL_CERT_FILE=target / "none")
    with pytest.raises(DownloadError, match="certificate of localhost not accepted") as caught:
        ensure_model(pin)
    assert [name for name in CA_VARIABLES if name not in caught.value.message] == []
    assert caught.value.hint.startswith("set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA")
    assert [word for word in NEVER_SUGGESTED if word in str(caught.value).lower()] == []
    assert company.asked == [], "a request, and with it the password, went to a server nobody vouches for"
    assert not target.exists()


def test_mirror_netrc(company: Company, pin: ModelPin, tmp_path: Path) -> None:
    """The login may stand in .netrc in the home folder, and the URL needs none."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine localhost login {USER} password {PASSWORD}\n", "utf-8")
    netrc.chmod(0o600)
    company.monkeypatch.delenv("NETRC")
    company.use(login="")
    company.set(HOME=tmp_path)
    assert ensure_model(pin).source == "release"
    assert company.asked[-1].startswith(f"200 {USER} ")


@pytest.mark.parametrize(("command", "login"), [("install", "ann:wrong-pa55word"), ("fetch --dest dest", "")])
def test_mirror_refuses_login(
    command: str, login: str, company: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong password, or none, is told as 401 with where to put the right one, after one try."""
    company.use(login=login)
    company.monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "fr_core_news_sm"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    places = "the URL or .netrc, MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
    assert f"HTTP 401 Unauthorized: give user:password in {places}" in err
    assert "wrong-pa55word" not in err
    assert len(company.asked) == 1
    assert not (tmp_path / "dest").exists()


def test_mirror_completes_what_has_begun(company: Company, tmp_path: Path) -> None:
    """A transfer that stalls after its first 50 KB goes on from there: nginx answers 206."""
    wheel = large_wheel(tmp_path)
    company.publish(wheel, "slow")
    company.use(path="/slow")
    company.set(MODELBOOT_TIMEOUT="0.5")
    assert ensure_model(wheel.pin_at(None)).downloaded_bytes == wheel.size_bytes
    assert re.match(r'206 ann "Basic \S+" "bytes=\d+-" ', company.asked[-1])


def url(proxy: Peer, login: str = f"{PROXY_LOGIN}@") -> str:
    """Return what HTTPS_PROXY names a proxy by."""
    return f"http://{login}127.0.0.1:{proxy.port}"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> set[int | str]:
    """Collect the ports this process connects to, and the names it looks up, but for this machine's own."""
    seen: set[int | str] = set()
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def noted(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - whatever the caller gave
        seen.update({address[1]} if self.family != socket.AF_UNIX else ())
        connect(self, address)

    def noted_name(host: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they came
        seen.update({host} - {"127.0.0.1", "localhost"})
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", noted)
    monkeypatch.setattr(socket, "getaddrinfo", noted_name)
    return seen


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_proxy_tunnel(variable: str, company: Company, squid: Peer, pin: ModelPin, connected: set[int | str]) -> None:
    """With a login at the proxy and one at the mirror, nothing but the proxy is connected to or looked up."""
    company.use(host=HIDDEN)
    company.set(**{variable: url(squid)})
    assert ensure_model(pin).source == "release"
    assert connected == {squid.port}
    assert [line.split()[:2] for line in company.asked] == [["200", "ann"]]


@pytest.mark.parametrize("exceptions", ["example.org, LOCALHOST", "example.org"], ids=["bypassed", "not-bypassed"])
def test_proxy_exceptions(
    exceptions: str, company: Company, tinyproxy: Peer, pin: ModelPin, connected: set[int | str]
) -> None:
    """A host that NO_PROXY covers is asked directly, and the proxy never connected to; any other not at all."""
    company.use()
    company.set(https_proxy=url(tinyproxy), NO_PROXY=exceptions)
    assert ensure_model(pin).source == "release"
    assert connected == {company.mirror.port if "LOCALHOST" in exceptions else tinyproxy.port}


@pytest.mark.parametrize(("proxy", "login"), [("squid", ""), ("squid", "pat:wrong@"), ("tinyproxy", "pat:wrong@")])
def test_proxy_refuses_login(
    proxy: str, login: str, company: Company, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """407 is told in words that name HTTPS_PROXY, at once, and no password is told.

    Tinyproxy answers a wrong password, other than none, with 401; that is told in the same words.
    """
    company.use(host=HIDDEN)
    company.set(HTTPS_PROXY=url(request.getfixturevalue(proxy), login))
    assert main(["install", "fr_core_news_sm"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "proxy: Tunnel connection failed: 40" in err
    assert "give user:password in HTTPS_PROXY" in err
    assert [secret for secret in ("pat:", "wrong", "pa55word") if secret in err] == []
    assert company.asked == []


def test_proxy_plain_http(company: Company, tinyproxy: Peer, pin: ModelPin, connected: set[int | str]) -> None:
    """A mirror at an http URL is asked through HTTP_PROXY, with the proxy's login; without it 407 is told."""
    with nginx(company.tree) as plain:
        connected.clear()
        company.set(MODELBOOT_BASE_URL=f"http://127.0.0.1:{plain.port}", HTTP_PROXY=url(tinyproxy, ""))
        with pytest.raises(DownloadError, match=r"HTTP 407 .*: give user:password in HTTPS?_PROXY"):
            ensure_model(pin)
        assert plain.asked == []
        company.set(HTTP_PROXY=url(tinyproxy))
        assert ensure_model(pin).source == "release"
        assert connected == {tinyproxy.port}
        assert len(plain.asked) == 1


def test_proxy_not_there(company: Company, pin: ModelPin) -> None:
    """A proxy that nobody runs is told as the proxy's failure, not the mirror's."""
    company.use(host=HIDDEN)
    with closed_port() as port:
        company.set(MODELBOOT_RETRIES="0", HTTPS_PROXY=f"http://{PROXY_LOGIN}@127.0.0.1:{port}")
        with pytest.raises(DownloadError, match="proxy: Connection refused") as caught:
            ensure_model(pin)
    assert "pa55word" not in f"{caught.value!s}{caught.value!r}"
    assert "proxy" in caught.value.hint.lower()


def test_proxy_unknown_ca(company: Company, squid: Peer, pin: ModelPin) -> None:
    """Through a proxy, too, a server that nobody vouches for is told as such and sees no password."""
    company.use(host=HIDDEN)
    company.set(SSL_CERT_FILE="/nowhere", HTTPS_PROXY=url(squid))
    with pytest.raises(DownloadError, match=r"certificate of mirror\.example\.org not accepted"):
        ensure_model(pin)
    assert company.asked == []


def test_story_8_corporate_desktop(  # noqa: PLR0913, PLR0917 - fixtures
    company: Company,
    squid: Peer,
    tiny: BuiltWheel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Story 8, "Corporate desktop", from the first call to the loaded pipeline.

    Only a proxy with a login leads out; the mirror behind it has a certificate of a private CA and a login, and
    redirects to a second host. Documented variables are enough, the second host and the official one learn nothing, and
    no password is in anything printed or written, be it of a success or of a failure.
    """
    company.publish(tiny, "loads")
    company.use(host=HIDDEN, path="/away/loads")
    company.set(HTTPS_PROXY=url(squid))
    caplog.set_level(logging.DEBUG, "modelboot")
    assert get_nlp(tiny.pin_at(None)).meta["version"] == tiny.version
    with pytest.raises(DownloadError, match="HTTP 404") as failed:
        get_nlp(ModelPin("en_absent_sm", "1.0.0", tiny.sha256))
    known, proxy_known = (base64.b64encode(login.encode()).decode() for login in (MIRROR_LOGIN, PROXY_LOGIN))
    asked = [shlex.split(line) for line in company.asked]
    assert {(line[4], line[0], line[2]) for line in asked} == {
        (HIDDEN, "302", f"Basic {known}"),
        ("storage.example.org", "200", "-"),
        ("storage.example.org", "404", "-"),
    }
    told = "".join(traceback.format_exception(failed.value))
    printed = "".join([told, repr(vars(failed.value)), caplog.text, *capfd.readouterr()]).encode()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for secret in ("pa55word", known, proxy_known):
        assert [text for text in (printed, *written) if secret.encode() in text] == []
