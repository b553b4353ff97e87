"""A real nginx as a company's mirror: TLS from a private CA, a login, redirects, ranges."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot.cli import main
from support.peers import MIRROR_LOGIN, Company, Site, make_authority, nginx
from support.wheels import large_wheel

USER, PASSWORD = MIRROR_LOGIN.split(":")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NEVER_SUGGESTED = ("verify=", "--trusted-host", "insecure", "cert_none", "skip", "disable", "switch off", "ignore")


def in_folder(company: Company, folder: Path) -> Path:
    """Lay a folder out as OpenSSL wants it: files found by the hash of their subject."""
    folder.mkdir()
    (folder / "ca.pem").write_bytes(company.authority.ca.read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("variable", [*CA_VARIABLES, "REQUESTS_CA_BUNDLE folder"])
def test_mirror_private_ca(variable: str, company: Company, pin: ModelPin, tmp_path: Path) -> None:
    """With any of the variables that name a CA, and user:password in the URL, the model comes from the mirror."""
    company.use()
    company.monkeypatch.delenv("SSL_CERT_FILE")
    is_folder = variable == "SSL_CERT_DIR" or variable.endswith("folder")
    certificates = in_folder(company, tmp_path / "certificates") if is_folder else company.authority.ca
    company.set(**{variable.partition(" ")[0]: certificates})
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


def test_mirror_certificate_of_another_host(company: Company, pin: ModelPin, tmp_path: Path) -> None:
    """A certificate of the right CA for another host is not accepted either."""
    other = make_authority(tmp_path, ["other.example.org"])
    with nginx(Site(root=company.tree, authority=other)) as running:
        company.set(SSL_CERT_FILE=other.ca, MODELBOOT_BASE_URL=f"https://localhost:{running.port}")
        with pytest.raises(DownloadError, match=r"certificate of localhost not accepted \(Hostname mismatch"):
            ensure_model(pin)
        assert running.asked == []


@pytest.mark.parametrize("variable", ["NETRC", "HOME"])
def test_mirror_netrc(variable: str, company: Company, pin: ModelPin, tmp_path: Path) -> None:
    """The login may stand in .netrc, in the home folder or where NETRC says, and the URL needs none."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine localhost login {USER} password {PASSWORD}\n", "utf-8")
    netrc.chmod(0o600)
    company.monkeypatch.delenv("NETRC")
    company.use(login="")
    company.set(**{variable: netrc if variable == "NETRC" else tmp_path})
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


def test_mirror_redirects_to_http(company: Company, pin: ModelPin) -> None:
    """A mirror spoken to over TLS that redirects to plain HTTP is not followed."""
    company.use(path="/down")
    with pytest.raises(DownloadError, match=r"redirects from https to http://127\.0\.0\.1:9/down/"):
        ensure_model(pin)
    assert [line.split()[0] for line in company.asked] == ["302"]


def test_mirror_completes_what_has_begun(company: Company, tmp_path: Path) -> None:
    """A transfer that stalls after its first 50 KB goes on from there: nginx answers 206."""
    wheel = large_wheel(tmp_path)
    company.publish(wheel, "slow")
    company.use(path="/slow")
    company.set(MODELBOOT_TIMEOUT="0.5")
    assert ensure_model(wheel.pin_at(None)).downloaded_bytes == wheel.size_bytes
    assert re.match(r'206 ann "Basic \S+" "bytes=\d+-" ', company.asked[-1])
