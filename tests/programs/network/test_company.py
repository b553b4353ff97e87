"""A company's network: a real nginx as mirror, with a private CA and a login, and real proxies that lead out."""

from __future__ import annotations

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
from support.peers import MIRROR_LOGIN, PROXY_LOGIN, Company, Peer
from support.server import basic
from support.wheels import BuiltWheel, large_wheel

HIDDEN = "mirror.example.org"
"""A host that only squid knows; no name server has it."""


@pytest.mark.parametrize("host", ["localhost", HIDDEN], ids=["direct", "proxy"])
def test_mirror_unknown_ca(host: str, company: Company, squid: Peer, pin: ModelPin, target: Path) -> None:
    """Without the CA the hint names what to set, and no request, and with it the password, goes to the server."""
    company.use(host=HIDDEN if host == HIDDEN else "")
    company.set(SSL_CERT_FILE=target / "none", HTTPS_PROXY=url(squid), NO_PROXY="localhost")
    with pytest.raises(DownloadError, match=rf"certificate of {re.escape(host)} not accepted") as caught:
        ensure_model(pin)
    assert caught.value.hint.startswith("set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA")
    assert company.asked == []
    assert not target.exists()


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
    known, proxy_known = basic(MIRROR_LOGIN), basic(PROXY_LOGIN)
    asked = [shlex.split(line) for line in company.asked]
    assert {(line[4], line[0], line[2]) for line in asked} == {
        (HIDDEN, "302", known),
        ("storage.example.org", "200", "-"),
        ("storage.example.org", "404", "-"),
    }
    told = "".join(traceback.format_exception(failed.value))
    printed = "".join([told, repr(vars(failed.value)), caplog.text, *capfd.readouterr()]).encode()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for secret in ("pa55word", *(header.removeprefix("Basic ") for header in (known, proxy_known))):
        assert [text for text in (printed, *written) if secret.encode() in text] == []
