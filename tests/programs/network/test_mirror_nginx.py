"""A real nginx as a company's mirror: TLS from a private CA, a login, redirects, ranges."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot._network.download import Download, download
from modelboot._progress import make_progress
from modelboot._settings import read_settings
from modelboot.cli import main
from support.peers import MIRROR_LOGIN as LOGIN
from support.peers import Authority, Peer, Site, make_authority, nginx
from support.server import ModelServer, Reply

if TYPE_CHECKING:
    from support.wheels import BuiltWheel

USER, PASSWORD = LOGIN.split(":")
NEVER_SUGGESTED = ("verify=", "--trusted-host", "insecure", "cert_none", "skip", "disable", "switch off", "ignore")


def _file(authority: Authority, _: Path) -> Path:
    return authority.ca


def _folder(authority: Authority, tmp_path: Path) -> Path:
    """Lay a folder out as OpenSSL wants it: files found by the hash of their subject."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.ca.read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("variable", "store"),
    [
        ("SSL_CERT_FILE", _file),
        ("SSL_CERT_DIR", _folder),
        ("REQUESTS_CA_BUNDLE", _file),
        ("REQUESTS_CA_BUNDLE", _folder),
        ("CURL_CA_BUNDLE", _file),
    ],
    ids=["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "REQUESTS_CA_BUNDLE-folder", "CURL_CA_BUNDLE"],
)
def test_mirror_private_ca(  # noqa: PLR0913, PLR0917 - two columns and what they work on
    variable: str,
    store: Callable[[Authority, Path], Path],
    mirror: Peer,
    authority: Authority,
    pin: ModelPin,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With any of the variables that name a CA, and user:password in the URL, the model comes from the mirror."""
    monkeypatch.setenv(variable, str(store(authority, tmp_path)))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://{LOGIN}@localhost:{mirror.port}")
    model = ensure_model(pin)
    assert (model.source, model.path.is_dir()) == ("release", True)
    assert mirror.asked[-1].startswith(f"200 {USER} ")


def test_mirror_unknown_ca(
    mirror: Peer, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Path
) -> None:
    """Without the CA the error names the variables to set, and nothing suggests to do without the check."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://{LOGIN}@localhost:{mirror.port}")
    before = mirror.asked
    with pytest.raises(DownloadError, match="certificate of localhost not accepted") as caught:
        ensure_model(pin)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        assert variable in caught.value.message
    assert caught.value.hint.startswith("set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA")
    assert [word for word in NEVER_SUGGESTED if word in str(caught.value).lower()] == []
    assert mirror.asked == before, "a request, and with it the password, went to a server nobody vouches for"
    assert not target.exists()


def test_mirror_certificate_of_another_host(
    tree: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate of the right CA for another host is not accepted either."""
    other = make_authority(tmp_path, ["other.example.org"])
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))
    with nginx(Site(root=tree, authority=other)) as running:
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://localhost:{running.port}")
        with pytest.raises(DownloadError, match=r"certificate of localhost not accepted \(Hostname mismatch"):
            ensure_model(pin)
        assert running.asked == []


@pytest.mark.parametrize("at_home", [False, True], ids=["NETRC", "home"])
def test_mirror_netrc(  # noqa: PLR0913, PLR0917 - fixtures
    at_home: bool,  # noqa: FBT001 - a column of the table
    mirror: Peer,
    authority: Authority,
    pin: ModelPin,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The login may stand in .netrc, in the home folder or where NETRC says, and the URL needs none."""
    netrc = tmp_path / (".netrc" if at_home else "logins")
    netrc.write_text(f"machine localhost login {USER} password {PASSWORD}\n", "utf-8")
    netrc.chmod(0o600)
    if at_home:
        monkeypatch.delenv("NETRC")
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        monkeypatch.setenv("NETRC", str(netrc))
    _trust(authority, mirror, monkeypatch, login="")
    assert ensure_model(pin).source == "release"
    assert mirror.asked[-1].startswith(f"200 {USER} ")


@pytest.mark.parametrize("login", ["ann:wrong-pa55word@", ""], ids=["wrong", "none"])
@pytest.mark.parametrize("command", ["install", "fetch"])
def test_mirror_refuses_login(  # noqa: PLR0913, PLR0917 - fixtures
    login: str,
    command: str,
    mirror: Peer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong password is told as 401 with where to put the right one, after one try, and is itself not told."""
    _trust(authority, mirror, monkeypatch, login=login)
    before = len(mirror.asked)
    assert main([command, "fr_core_news_sm", *(["--dest", str(tmp_path / "dest")] if command == "fetch" else [])]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        "HTTP 401 Unauthorized: give user:password in the URL or .netrc, "
        "MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub" in err
    )
    assert "wrong-pa55word" not in err
    assert len(mirror.asked) == before + 1
    assert not (tmp_path / "dest").exists()


def test_mirror_redirects_to_another_host(
    wheel: BuiltWheel, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second host that the mirror redirects to serves the wheel and never sees who we are at the first."""
    with (
        ModelServer() as second,
        nginx(Site(root=tmp_path, login=LOGIN, rules=_away(f"{second.url}/storage?signature=1"))) as first,
    ):
        second.serve("/storage", Reply(body=wheel.content))
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://{LOGIN}@localhost:{first.port}")
        assert ensure_model(pin).source == "release"
        assert [line.split()[:2] for line in first.asked] == [["302", USER]]
        (request,) = second.requests
    assert request.path == "/storage?signature=1"
    assert "authorization" not in request.headers


def test_mirror_redirects_to_another_tls_host(
    authority: Authority, tree: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same over TLS: the second host is asked without Authorization, which nginx would log."""
    with (
        nginx(Site(root=tree, authority=authority)) as second,
        nginx(
            Site(root=tree, authority=authority, login=LOGIN, rules=_away(f"https://localhost:{second.port}$uri"))
        ) as first,
    ):
        _trust(authority, first, monkeypatch)
        assert ensure_model(pin).source == "release"
        assert [line.split()[:2] for line in first.asked] == [["302", USER]]
        assert [line.split()[:4] for line in second.asked] == [["200", "-", '"-"', '"-"']]


def test_mirror_redirects_to_http(
    authority: Authority, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mirror spoken to over TLS that sends us on to plain HTTP is not followed: nothing is asked there."""
    with (
        ModelServer() as second,
        nginx(Site(root=tmp_path, authority=authority, rules=_away(f"{second.url}/storage"))) as first,
    ):
        _trust(authority, first, monkeypatch, login="")
        with pytest.raises(DownloadError, match=rf"redirects from https to {second.url}/storage"):
            ensure_model(pin)
        assert len(first.asked) == 1
        assert second.requests == []


def test_mirror_resumes_a_part(  # noqa: PLR0913, PLR0917 - fixtures
    mirror: Peer,
    authority: Authority,
    wheel: BuiltWheel,
    pin: ModelPin,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A part that an earlier run left is completed by nginx with 206, not fetched again."""
    _trust(authority, mirror, monkeypatch)
    settings, path = read_settings(), tmp_path / "wheel"
    url = f"{settings.mirrors[0]}/{pin.release_path}"
    path.with_name("wheel.part").write_bytes(wheel.content[:300])
    note = json.dumps({"validator": _etag(url, authority)})
    path.with_name("wheel.part.json").write_text(note, "utf-8")
    progress = make_progress(settings.progress)
    wanted = Download(
        label=str(pin), sha256=pin.sha256, size_mb=None, path=path, limits=settings.limits(), progress=progress
    )
    assert download(url, wanted, settings.trust_env) == wheel.size_bytes - 300
    assert path.read_bytes() == wheel.content
    assert mirror.asked[-1].split()[0] == "206"
    assert '"bytes=300-"' in mirror.asked[-1]


def test_mirror_passes_a_cut_on(
    wheel: BuiltWheel, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Behind an nginx that stands before another server, a transfer cut half-way goes on from there."""
    body = wheel.content
    with ModelServer() as origin:
        rules = [f"location / {{ proxy_pass {origin.url}; proxy_buffering off; }}"]
        origin.serve(
            f"/{pin.release_path}", Reply(body=body, cut_after_bytes=400, ranged=True), Reply(body=body, ranged=True)
        )
        with nginx(Site(root=tmp_path, rules=rules)) as running:
            monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://localhost:{running.port}")
            assert ensure_model(pin).downloaded_bytes == wheel.size_bytes
            assert [line.split()[0] for line in running.asked] == ["200", "206"]
        assert [request.headers.get("range") for request in origin.requests] == [None, "bytes=400-"]


def test_mirrors_of_a_list_are_asked_in_turn(
    tree: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two nginx in a list: one without the wheel, one with a login and another layout. Then both are gone.

    A second environment of the same user needs neither.
    """
    monkeypatch.setenv("MODELBOOT_CACHE", "1")
    (tmp_path / "empty").mkdir()
    moved = [f"location /wheels/ {{ rewrite ^/wheels/(.*)$ /{pin.release_path.partition('/')[0]}/$1 last; }}"]
    with nginx(Site(root=tmp_path / "empty")) as first, nginx(Site(root=tree, login=LOGIN, rules=moved)) as second:
        roots = [f"http://localhost:{first.port}", f"http://{LOGIN}@localhost:{second.port}/wheels/{{file}}"]
        monkeypatch.setenv("MODELBOOT_BASE_URL", " ".join(roots))
        assert ensure_model(pin, target=tmp_path / "one").source == "release"
        assert [line.split()[:2] for line in first.asked] == [["404", "-"]]
        assert [line.split()[:2] for line in second.asked] == [["200", USER]]
    assert ensure_model(pin, target=tmp_path / "two").source == "cache"


def _away(url: str) -> list[str]:
    """Redirect everything, after the login was checked: a plain `return` would come before."""
    return ["location / { try_files /none @away; }", f"location @away {{ return 302 {url}; }}"]


def _etag(url: str, authority: Authority) -> str:
    """Return what nginx knows a file by."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    login = base64.b64encode(LOGIN.encode()).decode()
    request = Request(url.replace(f"{LOGIN}@", ""), method="HEAD", headers={"Authorization": f"Basic {login}"})  # noqa: S310 - loopback
    with urlopen(request, context=context) as answer:  # noqa: S310 - as above
        return str(answer.headers["ETag"])


def _trust(authority: Authority, mirror: Peer, monkeypatch: pytest.MonkeyPatch, login: str = f"{LOGIN}@") -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://{login}localhost:{mirror.port}")
