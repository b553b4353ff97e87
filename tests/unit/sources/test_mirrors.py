"""A list of mirrors: roots and templates, hubs with their redirects and digests, each secret to its own host alone."""

from __future__ import annotations

import base64
import logging
import traceback
from pathlib import Path

import pytest

from modelboot import DownloadError, HashMismatchError, ModelPin, SettingsError, ensure_model
from support.folders import is_complete
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, BuiltWheel, altered

TREE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
HUB_PATH = f"/spacy/{NAME}/resolve/main/{NAME}-any-py3-none-any.whl"
HUB_TEMPLATE = "/spacy/{name}/resolve/main/{name}-any-py3-none-any.whl"
TOKEN, HUB_TOKEN = "t0ken-of-the-mirror", "hf_t0ken-of-the-hub"
BASIC = f"Basic {base64.b64encode(b'ann:pw').decode()}"
OTHER_SHA = "ab" * 32


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    for variable in ("HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def mirrors(server: ModelServer, other_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> list[ModelServer]:
    """Return two servers, of which the first is the only mirror until a test names others."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    return [server, other_server]


def authorizations(server: ModelServer) -> list[str | None]:
    """Return what each request of a server was authorized with."""
    return [request.headers.get("Authorization") for request in server.requests]


def test_mirrors_are_asked_in_turn(
    mirrors: list[ModelServer], wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first does not have the next is asked for; nobody after the one that has it is asked."""
    first, second = mirrors
    second.serve(TREE, Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{first.url}/a  {second.url}  {first.url}/never")
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert [request.path for request in first.requests] == [f"/a{TREE}"]
    assert is_complete(target, wheel.pin)


def test_mirrors_that_all_fail_are_all_told(
    mirrors: list[ModelServer], wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own attempt in the error: where it was asked, and why that failed."""
    first, second = mirrors
    second.serve(TREE, Reply(body=altered(wheel, tmp_path / "other").read_bytes()))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{first.url} {second.url} file:///nowhere")
    with pytest.raises(HashMismatchError, match="refused") as failed:
        ensure_model(wheel.pin_at(None))
    assert [(each.source, each.where, each.reason.split()[0]) for each in failed.value.attempts] == [
        ("mirror", f"{first.url}{TREE}", "HTTP"),
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


def in_base64(hexadecimal: str) -> str:
    """Write a digest as HTTP's own headers do."""
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


LINKED = {"X-Linked-Etag": f'"{OTHER_SHA}"', "X-Checksum-Sha256": OTHER_SHA.upper()}
"""What a redirect says of the file it leads to; the other headers are about a response's own body."""
OWN = {
    "Repr-Digest": f"sha-512=:eA==:, sha-256=:{in_base64(OTHER_SHA)}:",
    "Digest": f"SHA-256={in_base64(OTHER_SHA)}",
    "Content-Digest": f"sha-256=:{in_base64(OTHER_SHA)}:",
}


@pytest.mark.parametrize("header", [*LINKED, *OWN])
def test_mirror_names_another_digest(
    header: str, mirrors: list[ModelServer], wheel: BuiltWheel, tmp_path: Path, target: Path
) -> None:
    """Other bytes are refused, also from a server that names their digest."""
    body = altered(wheel, tmp_path / "other").read_bytes()
    mirrors[0].serve(TREE, Reply(headers={header: (LINKED | OWN)[header]}, body=body))
    with pytest.raises(DownloadError, match="sha256"):
        ensure_model(wheel.pin_at(None))
    assert not target.exists()


@pytest.mark.parametrize("header", OWN)
def test_mirror_redirects_with_the_digest_of_a_page(header: str, mirrors: list[ModelServer], wheel: BuiltWheel) -> None:
    """A redirect may have a body and name its digest: that says nothing of the file it leads to."""
    mirrors[0].serve(TREE, Reply(302, {"Location": "/blob", header: OWN[header]}, body=b"<html>"))
    mirrors[0].serve("/blob", Reply(body=wheel.content))
    assert ensure_model(wheel.pin_at(None)).source == "release"


@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
def test_hub_names_the_pinned_digest(  # noqa: PLR0913 - fixtures
    mirrors: list[ModelServer],
    wheel: BuiltWheel,
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    honest: bool,
) -> None:
    """A hub redirects to its store, whose own ETag is no digest; the bytes decide, not what the hub says of them."""
    hub, store = mirrors
    linked = {"X-Linked-Etag": f'"{wheel.sha256}"', "ETag": f'"{OTHER_SHA}"'}
    hub.serve(HUB_PATH, Reply(302, {"Location": f"{store.url}/blob?sig=s3cret", **linked}))
    body = wheel.content if honest else altered(wheel, tmp_path / "other").read_bytes()
    store.serve("/blob", Reply(headers={"ETag": f'"{OTHER_SHA}"'}, body=body))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{hub.url}{HUB_TEMPLATE}")
    if honest:
        assert ensure_model(wheel.pin_at(None)).source == "release"
        assert is_complete(target, wheel.pin)
        return
    with pytest.raises(HashMismatchError, match="got sha256"):
        ensure_model(wheel.pin_at(None))
    assert not target.exists()


def test_token_goes_to_the_mirrors_alone(
    mirrors: list[ModelServer], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODELBOOT_TOKEN is sent to each mirror, on a redirect within it again, and to no host it redirects to."""
    mirror, store = mirrors
    mirror.serve(TREE, Reply(302, {"Location": "/moved"}))
    mirror.serve("/moved", Reply(302, {"Location": f"{store.url}/blob"}))
    store.serve("/blob", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    ensure_model(wheel.pin_at(None))
    assert authorizations(mirror) == [f"Bearer {TOKEN}"] * 2
    assert authorizations(store) == [None]


def test_tokens_are_not_sent_to_a_pins_own_host(
    server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mirror no token goes anywhere, whatever a pin names; the file itself is asked for, not its facts."""
    server.serve("/assets/1234567", Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    ensure_model(wheel.pin_at(f"{server.url}/assets/1234567"))
    assert authorizations(server) == [None]
    assert [request.headers["Accept"] for request in server.requests] == ["application/octet-stream"]


def test_tokens_do_not_meet(mirrors: list[ModelServer], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that redirects to the hub, and the hub to the mirror, hand on no token; a login in a URL wins."""
    mirror, hub = mirrors
    mirror.serve(TREE, Reply(302, {"Location": f"{hub.url}/from-mirror"}))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{mirror.url} {hub.url.replace('//', '//ann:pw@')}/hub")
    monkeypatch.setenv("MODELBOOT_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    hub.serve(f"/hub{TREE}", Reply(body=wheel.content))
    ensure_model(wheel.pin_at(None))
    assert authorizations(mirror) == [f"Bearer {TOKEN}"]
    assert authorizations(hub) == [None, BASIC]


def test_hub_has_another_address(
    mirrors: list[ModelServer], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_ENDPOINT stands in for the hub in a pin's URL; HF_TOKEN goes there, and not on to its store."""
    hub, store = mirrors
    monkeypatch.delenv("MODELBOOT_BASE_URL")
    path = f"/spacy/{NAME}/resolve/main/{NAME}-{VERSION}-py3-none-any.whl"
    hub.serve(f"/artifactory{path}", Reply(302, {"Location": f"{store.url}/blob"}))
    store.serve("/blob", Reply(body=wheel.content))
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/artifactory/")
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    ensure_model(wheel.pin_at(f"https://huggingface.co{path}"))
    assert authorizations(hub) == [f"Bearer {HUB_TOKEN}"]
    assert authorizations(store) == [None]


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("HF_ENDPOINT", "hub.example", "HF_ENDPOINT='hub.example' is not an http or https URL"),
        ("HF_ENDPOINT", "file:///srv/hub", "HF_ENDPOINT='file:///srv/hub' is not an http or https URL"),
        ("HF_ENDPOINT", "http://[hub", "HF_ENDPOINT='http://[hub' is not an http or https URL"),
        ("HF_TOKEN", "<your s3cret>", "HF_TOKEN='***' is not a token"),
        ("HF_TOKEN", f"{HUB_TOKEN}\nX-Planted: 1", "HF_TOKEN='***' is not a token"),
        ("MODELBOOT_TOKEN", f"{TOKEN}\nX-Planted: 1", "MODELBOOT_TOKEN='***' is not a token"),
    ],
)
def test_variable_that_cannot_be_used(  # noqa: PLR0913, PLR0917 - fixtures and a row
    server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, told: str
) -> None:
    """It is refused by name and without its secret; one of the hub, another program's, by calls that ask the hub."""
    server.serve("/x.whl", Reply(body=wheel.content))
    monkeypatch.setenv(variable, text)
    if variable == "HF_TOKEN":
        monkeypatch.setenv("HF_ENDPOINT", server.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(SettingsError) as refused:
        ensure_model(wheel.pin_at(f"https://huggingface.co/x/{NAME}-{VERSION}-py3-none-any.whl"))
    assert str(refused.value).startswith(told)
    shown = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in (TOKEN, HUB_TOKEN) if secret in shown]
    if variable.startswith("HF_"):
        assert ensure_model(wheel.pin_at(f"{server.url}/x.whl")).source == "release"


def test_file_of_a_pin_is_asked_once(wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrors stand in for hosts, not for files: the file of a pin is looked for once, however many there are."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://a.invalid http://b.invalid")
    pin = ModelPin(NAME, VERSION, wheel.sha256, url="file:///nowhere/x.whl")
    with pytest.raises(DownloadError, match="No such file") as failed:
        ensure_model(pin)
    assert len(failed.value.attempts) == 1
