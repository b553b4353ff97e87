"""A list of mirrors: roots and templates, hubs with their redirects and digests, each secret to its own host alone."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import DownloadError, HashMismatchError, ModelPin, SettingsError, ensure_model
from modelboot.cli import main
from support.folders import is_complete
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import NAME, VERSION, BuiltWheel, altered

if TYPE_CHECKING:
    from modelboot._settings import Settings

TREE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
HUB_PATH = f"/spacy/{NAME}/resolve/main/{NAME}-any-py3-none-any.whl"
HUB_TEMPLATE = "/spacy/{name}/resolve/main/{name}-any-py3-none-any.whl"
TOKEN = "t0ken-of-the-mirror"  # noqa: S105 - what the tests look for
HUB_TOKEN = "hf_t0ken-of-the-hub"  # noqa: S105
OTHER_SHA = "ab" * 32


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    for variable in ("HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def second() -> Iterator[ModelServer]:
    """Return another server, which is another host to a client: its port differs."""
    with ModelServer() as running:
        yield running


def authorizations(server: ModelServer) -> list[str | None]:
    """Return what each request of a server was authorized with."""
    return [request.headers.get("Authorization") for request in server.requests]


def test_mirrors_are_asked_in_turn(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first does not have the next is asked for; nobody after the one that has it is asked."""
    second.serve(TREE, Reply(body=wheel.content))
    urls = [f"{server.url}/a", second.url, f"{server.url}/never"]
    monkeypatch.setenv("MODELBOOT_BASE_URL", "  ".join(urls))
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert [request.path for request in server.requests] == [f"/a{TREE}"]
    assert is_complete(target, wheel.pin)


def test_mirrors_that_all_fail_are_all_told(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own line of the error: where it was asked, and why that failed."""
    second.serve(TREE, Reply(body=altered(wheel, tmp_path / "other").read_bytes()))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url} {second.url} file:///nowhere")
    with pytest.raises(HashMismatchError, match="refused") as failed:
        ensure_model(wheel.pin_at(None))
    told = [(each.source, each.where, each.reason.split()[0]) for each in failed.value.attempts]
    assert told == [
        ("mirror", f"{server.url}{TREE}", "HTTP"),
        ("mirror", f"{second.url}{TREE}", "got"),
        ("mirror", f"file:///nowhere{TREE}", "No"),
    ]


@pytest.mark.parametrize(
    ("mirror", "path"),
    [
        ("/tree", f"/tree{TREE}"),
        ("/tree/", f"/tree{TREE}"),
        ("/tree?token=s3cret", f"/tree{TREE}?token=s3cret"),
        ("/{name}/{version}/{file}", f"/{NAME}/{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"),
        ("/get?m={name}&v={version}&sig=s3cret", f"/get?m={NAME}&v={VERSION}&sig=s3cret"),
        (HUB_TEMPLATE, HUB_PATH),
        ("/https://releases.example/download", f"/https://releases.example/download{TREE}"),
    ],
    ids=["root", "slash", "query", "template", "template in a query", "hub", "prefix proxy"],
)
def test_mirror_has_its_own_layout(  # noqa: PLR0913, PLR0917 - fixtures
    mirror: str,
    path: str,
    server: ModelServer,
    wheel: BuiltWheel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A root has the release tree below it, a template says itself where a wheel lies; a prefix proxy is a root."""
    caplog.set_level(logging.DEBUG, "modelboot")
    server.serve(path.partition("?")[0], Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url}{mirror}")
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert [request.path for request in server.requests] == [path]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "value", ["http://ok.example ftp://x", "http://x/{nom}", "http://x/{name", "http://x/}", "x y"]
)
def test_mirror_that_cannot_be_used(value: str, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is no URL, or has a placeholder nobody fills in, is refused before anything is asked."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", value)
    with pytest.raises(SettingsError, match=r"MODELBOOT_BASE_URL=.* is not an http, https or file URL, or several"):
        ensure_model(wheel.pin_at(None))


def in_base64(hexadecimal: str) -> str:
    """Write a digest as HTTP's own headers do."""
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


NAMED = {
    "linked-etag": {"X-Linked-Etag": f'"{OTHER_SHA}"'},
    "checksum": {"X-Checksum-Sha256": OTHER_SHA.upper()},
    "repr-digest": {"Repr-Digest": f"sha-512=:eA==:, sha-256=:{in_base64(OTHER_SHA)}:"},
    "digest": {"Digest": f"SHA-256={in_base64(OTHER_SHA)}"},
    "content-digest": {"Content-Digest": f"sha-256=:{in_base64(OTHER_SHA)}:"},
}
OF_THE_LINKED_FILE = ("linked-etag", "checksum")
"""What a redirect says of the file it leads to; the other headers are about a response's own body."""


@pytest.mark.parametrize(
    ("header", "redirects"),
    [*((header, False) for header in NAMED), *((header, True) for header in OF_THE_LINKED_FILE)],
    ids=[*NAMED, *(f"{header} in a redirect" for header in OF_THE_LINKED_FILE)],
)
def test_body_of_another_file_is_not_fetched(  # noqa: PLR0913 - fixtures
    header: str,
    server: ModelServer,
    second: ModelServer,
    wheel: BuiltWheel,
    monkeypatch: pytest.MonkeyPatch,
    *,
    redirects: bool,
) -> None:
    """Where a server names the SHA-256 of what it has, another one than the pin's costs no transfer."""
    if redirects:
        server.serve(HUB_PATH, Reply(302, {"Location": f"{second.url}/blob", **NAMED[header]}))
    else:
        server.serve(HUB_PATH, Reply(headers=NAMED[header], body=b"PK", declared_length=10**6, stall="body"))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url}{HUB_TEMPLATE}")
    with pytest.raises(DownloadError, match=f"has another file: sha256 {OTHER_SHA}") as failed:
        ensure_model(wheel.pin_at(None))
    assert not isinstance(failed.value, HashMismatchError)  # nothing was received that could be distrusted
    assert not second.requests


def test_body_of_the_pinned_file_is_fetched(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that names the pinned digest redirects to its store, whose own ETag is no digest."""
    linked = {"X-Linked-Etag": f'"{wheel.sha256}"', "ETag": f'"{OTHER_SHA}"'}
    server.serve(HUB_PATH, Reply(302, {"Location": f"{second.url}/blob?sig=s3cret", **linked}))
    second.serve("/blob", Reply(headers={"ETag": f'"{OTHER_SHA}"'}, body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url}{HUB_TEMPLATE}")
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert is_complete(target, wheel.pin)


@pytest.mark.parametrize("header", sorted(NAMED.keys() - OF_THE_LINKED_FILE))
def test_digest_of_a_redirect_is_its_own(
    server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    """A redirect may have a body and name its digest: that says nothing of the file it leads to."""
    server.serve(TREE, Reply(302, {"Location": "/blob", **NAMED[header]}, body=b"<html>"))
    server.serve("/blob", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    assert ensure_model(wheel.pin_at(None)).source == "release"


def test_false_digest_is_no_proof(
    server: ModelServer, wheel: BuiltWheel, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that names the pinned digest and sends other bytes is found out."""
    body = altered(wheel, tmp_path / "other").read_bytes()
    server.serve(TREE, Reply(headers={"X-Linked-Etag": f'"{wheel.sha256}"'}, body=body))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    with pytest.raises(HashMismatchError, match="got sha256"):
        ensure_model(wheel.pin_at(None))
    assert not target.exists()


def test_token_goes_to_the_mirrors_alone(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODELBOOT_TOKEN is sent to each mirror, on a redirect within it again, and to no host it redirects to."""
    server.serve(TREE, Reply(302, {"Location": "/moved"}))
    server.serve("/moved", Reply(302, {"Location": f"{second.url}/blob"}))
    second.serve("/blob", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    ensure_model(wheel.pin_at(None))
    assert authorizations(server) == [f"Bearer {TOKEN}"] * 2
    assert authorizations(second) == [None]


def test_token_is_not_sent_to_a_pins_own_host(
    server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mirror MODELBOOT_TOKEN goes nowhere, whatever a pin names."""
    server.serve("/x.whl", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    ensure_model(wheel.pin_at(f"{server.url}/x.whl"))
    assert authorizations(server) == [None]


def test_tokens_do_not_meet(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that redirects to the hub, and the hub to the mirror, hand on no token; a login in a URL wins."""
    server.serve(TREE, Reply(302, {"Location": f"{second.url}/from-mirror"}))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url} {second.url.replace('//', '//ann:pw@')}/hub")
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", second.url)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    second.serve(f"/hub{TREE}", Reply(body=wheel.content))
    ensure_model(wheel.pin_at(None))
    assert authorizations(server) == [f"Bearer {TOKEN}"]
    assert authorizations(second) == [None, f"Basic {base64.b64encode(b'ann:pw').decode()}"]


def test_hub_has_another_address(
    server: ModelServer, second: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_ENDPOINT stands in for the hub in a pin's URL; HF_TOKEN goes there, and not on to its store."""
    path = f"/spacy/{NAME}/resolve/main/{NAME}-{VERSION}-py3-none-any.whl"
    server.serve(f"/artifactory{path}", Reply(302, {"Location": f"{second.url}/blob"}))
    second.serve("/blob", Reply(body=wheel.content))
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/artifactory/")
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    ensure_model(wheel.pin_at(f"https://huggingface.co{path}"))
    assert authorizations(server) == [f"Bearer {HUB_TOKEN}"]
    assert authorizations(second) == [None]


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("HF_ENDPOINT", "hub.example", "HF_ENDPOINT='hub.example' is not an http or https URL"),
        ("HF_ENDPOINT", "file:///srv/hub", "HF_ENDPOINT='file:///srv/hub' is not an http or https URL"),
        ("HF_ENDPOINT", "http://[hub", "HF_ENDPOINT='http://[hub' is not an http or https URL"),
        ("HF_TOKEN", "<your s3cret>", "HF_TOKEN='***' is not a token"),
        ("HF_TOKEN", f"{HUB_TOKEN}\nX-Planted: 1", "HF_TOKEN='***' is not a token"),
    ],
)
def test_variable_of_the_hub_cannot_be_used(  # noqa: PLR0913, PLR0917 - fixtures and a row
    server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, told: str
) -> None:
    """Only a call that asks the hub fails for it: the variable is another program's."""
    server.serve("/x.whl", Reply(body=wheel.content))
    monkeypatch.setenv(variable, text)
    if variable == "HF_TOKEN":
        monkeypatch.setenv("HF_ENDPOINT", server.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(SettingsError) as refused:
        ensure_model(wheel.pin_at(f"https://huggingface.co/x/{NAME}-{VERSION}-py3-none-any.whl"))
    assert str(refused.value).startswith(told)
    assert HUB_TOKEN not in "".join(traceback.format_exception(refused.value))
    assert ensure_model(wheel.pin_at(f"{server.url}/x.whl")).source == "release"


def test_private_release_asset(server: ModelServer, second: ModelServer, wheel: BuiltWheel, settings: Settings) -> None:
    """A host that describes an asset unless the file itself is accepted is asked for the file."""
    assert settings.mirrors == ()
    server.serve("/assets/1234567", Reply(302, {"Location": f"{second.url}/blob"}))
    second.serve("/blob", Reply(body=wheel.content))
    ensure_model(wheel.pin_at(f"{server.url}/assets/1234567"))
    assert [request.headers["Accept"] for request in server.requests] == ["application/octet-stream"]


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_tokens_are_never_told(  # noqa: PLR0913, PLR0917 - fixtures
    status: int,
    server: ModelServer,
    wheel: BuiltWheel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No error, traceback, log, file or command says a token; `doctor` says that one is set."""
    caplog.set_level(logging.DEBUG)
    publish(monkeypatch, tmp_path / "tree", wheel)
    server.serve(TREE, Reply(status))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url} {server.url}{HUB_TEMPLATE}")
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    with pytest.raises(DownloadError, match=f"HTTP {status}") as failed:
        ensure_model(wheel.pin_at(None))
    main(["doctor", NAME, "--debug"])
    main(["install", NAME, "--debug"])
    out, err = capfd.readouterr()
    assert f"Bearer {TOKEN}" in authorizations(server)
    assert (
        len([line for line in out.splitlines() if line.split()[:3] == ["MODELBOOT_TOKEN", "environment", "set"]]) == 1
    )
    told = [out, err, caplog.text, "".join(traceback.format_exception(failed.value)), repr(failed.value.__dict__)]
    assert not [text for text in told if TOKEN in text or HUB_TOKEN in text]


def test_token_that_no_header_can_hold(wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with a line end in it is refused by name, and not shown."""
    monkeypatch.setenv("MODELBOOT_TOKEN", f"{TOKEN}\nX-Planted: 1")
    with pytest.raises(SettingsError, match=r"MODELBOOT_TOKEN='\*\*\*' is not a token") as refused:
        ensure_model(wheel.pin_at(None))
    assert TOKEN not in "".join(traceback.format_exception(refused.value))


def test_file_of_a_pin_is_asked_once(wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrors stand in for hosts, not for files: the file of a pin is looked for once, however many there are."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://a.invalid http://b.invalid")
    pin = ModelPin(NAME, VERSION, wheel.sha256, url="file:///nowhere/x.whl")
    with pytest.raises(DownloadError, match="No such file") as failed:
        ensure_model(pin)
    assert len(failed.value.attempts) == 1
