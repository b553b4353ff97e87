"""Stories of users on bad, closed and absent networks, replayed from the first call to the loaded pipeline."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from modelboot import DownloadError, HashMismatchError, OfflineError, ensure_model, get_nlp
from modelboot.cli import main
from support.children import pin_arguments, python
from support.peers import MIRROR_NAMES, Site, forget_network_settings, make_authority, nginx, squid
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, altered


@pytest.fixture(autouse=True)
def _bare_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each story say itself which proxies, certificates and logins there are."""
    forget_network_settings(monkeypatch)


def test_story_4_air_gapped_operator_forgot_the_model(  # noqa: PLR0913, PLR0917 - fixtures
    server: ModelServer,
    tiny: BuiltWheel,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Story 4, "Air-gapped operator forgot the model".

    The error comes at once, asks nobody, and gives a command; run where there is a network, it makes the folder that
    mends the fault. An altered copy in that folder is refused.
    """
    publish(monkeypatch, tmp_path / "mirror", tiny)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    try:
        get_nlp(tiny.name)
    except Exception as error:  # noqa: BLE001 - how a careless program catches it
        caught = error
    else:
        pytest.fail("a model came from nowhere")
    assert isinstance(caught, OfflineError)
    for fact in (tiny.name, tiny.version, f"{server.url}/{tiny.release_path}"):
        assert fact in caught.message
    assert server.requests == []
    assert not target.exists()

    command = caught.hint.split("`")[1].split()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with monkeypatch.context() as networked:
        networked.chdir(elsewhere)
        networked.setenv("MODELBOOT_OFFLINE", "0")
        networked.setenv("MODELBOOT_BASE_URL", (tmp_path / "mirror").as_uri())
        assert command[0] == "modelboot"
        assert main(command[1:]) == 0
    capsys.readouterr()

    get_nlp.cache_clear()
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(altered(tiny, tmp_path / "bad").parent))
    with pytest.raises(HashMismatchError, match="not the pinned bytes"):
        get_nlp(tiny.name)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(elsewhere / "wheelhouse"))
    assert get_nlp(tiny.name).meta["version"] == tiny.version
    assert server.requests == []


def test_story_4_file_copied_by_hand(tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Story 4, the other way: a wheel copied by hand into a folder, under whatever name, is enough."""
    folder = tmp_path / "usb"
    folder.mkdir()
    shutil.copy(tiny.path, folder / "from-the-stick.whl")
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(folder))
    pin = tiny.pin_at(None)
    assert ensure_model(pin).source == "wheelhouse"
    assert get_nlp(pin).meta["version"] == tiny.version


def _flipped(body: bytes) -> list[Reply]:
    return [Reply(body=body[:-1] + bytes([body[-1] ^ 1]))]


def _short(body: bytes) -> list[Reply]:
    return [Reply(body=body[:500], declared_length=len(body))]


def _login_page(_: bytes) -> list[Reply]:
    return [Reply(headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html><title>Sign in</title>")]


def _drip(body: bytes) -> list[Reply]:
    return [Reply(body=body, drip_bytes_per_s=20)]


def _stall(body: bytes) -> list[Reply]:
    return [Reply(body=body, stall="body", cut_after_bytes=0)]


def _endless(_: bytes) -> list[Reply]:
    return [Reply(body=b"PK", endless=True)]


BROKEN: dict[str, tuple[Callable[[bytes], list[Reply]], str]] = {
    "flipped byte": (_flipped, r"refused .*: not the pinned bytes, expected sha256 \w{64}: .*got sha256 \w{64}"),
    "short body": (_short, r"cut short: 500 of [\d,]+ bytes received"),
    "login page": (_login_page, r"received an HTML page instead of the wheel \(text/html\)"),
    "drip": (_drip, r"deadline of 1 s passed"),
    "stall": (_stall, r"deadline of 1 s passed"),
    "endless": (_endless, r"sends more than the [\d,]+ bytes expected"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_story_7_broken_server(
    fault: str, mirror: ModelServer, wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 7, "Hostile or broken server": each fault has its own message, in time, and leaves nothing."""
    script, message = BROKEN[fault]
    mirror.serve(f"/{wheel.release_path}", *script(wheel.content))
    monkeypatch.setenv("MODELBOOT_DEADLINE", "1" if "deadline" in message else "20")
    monkeypatch.setenv("MODELBOOT_RETRIES", "1")
    (target / "neighbour").mkdir(parents=True)
    with pytest.raises(DownloadError, match=message) as caught:
        ensure_model(replace(wheel.pin_at(None), size_mb=1))
    assert isinstance(caught.value, HashMismatchError) == (fault == "flipped byte")
    assert {path.name for path in target.iterdir()} - {".modelboot"} == {"neighbour"}
    assert not [*target.rglob("*.stage")]


def test_story_7_the_first_three_are_told_apart(
    mirror: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 7: other bytes, a short body and a page have three messages and three hints."""
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    hints = set()
    for fault in ("flipped byte", "short body", "login page"):
        mirror.serve(f"/{wheel.release_path}", *BROKEN[fault][0](wheel.content))
        with pytest.raises(DownloadError, match=BROKEN[fault][1]) as caught:
            ensure_model(wheel.pin_at(None))
        hints.add(caught.value.hint)
    assert len(hints) == 3


def test_story_7_redirect_to_a_stalled_port(
    mirror: ModelServer, other_server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 7: a redirect to a port that accepts and never answers ends by the deadline."""
    other_server.serve("/", Reply(stall="headers"))
    mirror.serve(f"/{wheel.release_path}", Reply(302, headers={"Location": f"{other_server.url}/"}))
    monkeypatch.setenv("MODELBOOT_DEADLINE", "1")
    with pytest.raises(DownloadError, match="deadline of 1 s passed"):
        ensure_model(wheel.pin_at(None))
    assert other_server.count("/") == 1


@pytest.mark.parametrize(
    "before",
    [[Reply(503), Reply(503)], [Reply(429, headers={"Retry-After": "1"})]],
    ids=["503 503 200", "429 with Retry-After"],
)
def test_story_7_server_recovers(before: Sequence[Reply], mirror: ModelServer, wheel: BuiltWheel) -> None:
    """Story 7: a server that is busy and says so is waited for, and then serves."""
    mirror.serve(f"/{wheel.release_path}", *before, Reply(body=wheel.content))
    model = ensure_model(wheel.pin_at(None))
    assert model.source == "release"
    assert len(mirror.requests) == len(before) + 1
    if before[0].status == 429:
        assert model.seconds >= 1


LOGINS = {"proxy": "pat:s3cret-of-the-proxy", "mirror": "ann:s3cret-of-the-mirror"}
LOAD = """
import json, logging, sys
from modelboot import ModelPin, get_nlp

logging.basicConfig(level=logging.DEBUG)
pin = ModelPin(*sys.argv[1:])
nlp = get_nlp(pin)
print(json.dumps({"version": nlp.meta["version"]}))
try:
    get_nlp(ModelPin("en_absent_sm", "1.0.0", pin.sha256))
except Exception as error:
    print(repr(error), error, repr(vars(error)))
    raise
"""


def test_story_8_corporate_desktop(tiny: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """Story 8, "Corporate desktop".

    Only a proxy with a login leads out; the mirror behind it has a certificate of a private CA and a login, and
    redirects to a second host. Documented variables are enough, the second host and the official one learn nothing, and
    no password is in anything printed or written, be it of a success or of a failure.
    """
    authority = make_authority(_made(tmp_path / "authority"), MIRROR_NAMES)
    (tmp_path / "tree" / f"{tiny.name}-{tiny.version}").mkdir(parents=True)
    shutil.copy(tiny.path, tmp_path / "tree" / f"{tiny.name}-{tiny.version}")
    known = base64.b64encode(LOGINS["mirror"].encode()).decode()
    rules = [
        "if ($host = storage.example.org) { break; }",
        f'if ($http_authorization != "Basic {known}") {{ return 401; }}',
        "return 302 https://storage.example.org$uri;",
    ]
    with (
        nginx(Site(root=tmp_path / "tree", authority=authority, rules=rules)) as hosts,
        squid(LOGINS["proxy"], hosts) as proxy,
    ):
        env = {
            "HTTPS_PROXY": f"http://{LOGINS['proxy']}@127.0.0.1:{proxy.port}",
            "SSL_CERT_FILE": str(authority.ca),
            "MODELBOOT_BASE_URL": f"https://{LOGINS['mirror']}@mirror.example.org",
        }
        done = python(LOAD, *pin_arguments(tiny.pin)[:3], env=env)
        asked = [shlex.split(line) for line in hosts.asked]
    assert json.loads(done.stdout.splitlines()[0]) == {"version": tiny.version}
    assert "HTTP 404" in done.stderr, "the second model, which the mirror lacks, was to fail"
    seen = {(line[4], line[0], line[2]) for line in asked}
    assert seen == {
        ("mirror.example.org", "302", f"Basic {known}"),
        ("storage.example.org", "200", "-"),
        ("storage.example.org", "404", "-"),
    }
    printed = f"{done.stdout}{done.stderr}".encode()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert (target / tiny.name).is_dir()
    for secret in ("s3cret", known, base64.b64encode(LOGINS["proxy"].encode()).decode()):
        assert [text for text in (printed, *written) if secret.encode() in text] == []


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
