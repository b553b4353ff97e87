"""A list of mirrors: roots and templates, hubs with their redirects and digests, each secret to its own host alone."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from modelboot import DownloadError, ModelPin, SettingsError, ensure_model
from support.folders import is_complete
from support.server import ModelServer, Reply, basic
from support.wheels import NAME, VERSION, BuiltWheel, altered

TREE = f"/{NAME}-{VERSION}/{NAME}-{VERSION}-py3-none-any.whl"
HUB_PATH = f"/spacy/{NAME}/resolve/main/{NAME}-any-py3-none-any.whl"
HUB_TEMPLATE = "/spacy/{name}/resolve/main/{name}-any-py3-none-any.whl"
TOKEN, HUB_TOKEN = "t0ken-of-the-mirror", "hf_t0ken-of-the-hub"
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


def test_mirrors_are_asked_in_turn(
    mirrors: list[ModelServer], wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first does not have the next is asked for; none after the one that has it is asked."""
    first, second = mirrors
    second.serve(TREE, Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{first.url}/a  {second.url}  {first.url}/never")
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert [request.path for request in first.requests] == [f"/a{TREE}"]
    assert is_complete(target, wheel.pin)


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
def test_mirror_has_its_own_layout(
    mirror: str, path: str, server: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root has the release tree below it, a template says itself where a wheel lies; a prefix proxy is a root."""
    server.serve(path.partition("?")[0], Reply(body=wheel.content))
    monkeypatch.setenv("MODELBOOT_BASE_URL", f"{server.url}{mirror}")
    assert ensure_model(wheel.pin_at(None)).source == "release"
    assert [request.path for request in server.requests] == [path]


@pytest.mark.parametrize("honest", [True, False])
def test_hub_names_a_digest(mirrors: list[ModelServer], wheel: BuiltWheel, target: Path, *, honest: bool) -> None:
    """The bytes decide, not what a hub says of them; the ETag of a redirect or of a store says nothing."""
    body = wheel.content if honest else altered(wheel, target.parent / "other").read_bytes()
    etag = {"ETag": f'"{OTHER_SHA}"'}
    headers = {"Location": f"{mirrors[1].url}/blob?sig=s3cret", "X-Linked-Etag": f'"{wheel.sha256}"', **etag}
    mirrors[0].serve(TREE, Reply(302, headers, body=b"<html>"))
    mirrors[1].serve("/blob", Reply(headers=etag, body=body))
    if honest:
        assert ensure_model(wheel.pin_at(None)).source == "release"
        assert is_complete(target, wheel.pin)
        return
    with pytest.raises(DownloadError, match="sha256"):
        ensure_model(wheel.pin_at(None))
    assert not target.exists()


AT_HUB = f"/spacy/{NAME}/resolve/main/{NAME}-{VERSION}-py3-none-any.whl"
TOKENS = {"MODELBOOT_TOKEN": TOKEN, "HF_TOKEN": HUB_TOKEN}
SENT: dict[str, tuple[Any, ...]] = {
    "within a mirror": (
        {"MODELBOOT_BASE_URL": "FIRST", **TOKENS},
        {f"FIRST{TREE}": "/moved", "FIRST/moved": "SECOND/blob", "SECOND/blob": ""},
        *(None, [f"Bearer {TOKEN}"] * 2, [None]),
    ),
    "to a pin's own host": (TOKENS, {"FIRST/assets/7": ""}, "FIRST/assets/7", [None], []),
    "from a mirror to the hub": (
        {"MODELBOOT_BASE_URL": "FIRST LOGIN/hub", "HF_ENDPOINT": "SECOND", **TOKENS},
        {f"FIRST{TREE}": "SECOND/from-mirror", f"SECOND/hub{TREE}": ""},
        *(None, [f"Bearer {TOKEN}"], [None, basic("ann:pw")]),
    ),
    "from the hub to its store": (
        {"HF_ENDPOINT": "FIRST/artifactory/", "HF_TOKEN": HUB_TOKEN},
        {f"FIRST/artifactory{AT_HUB}": "SECOND/blob", "SECOND/blob": ""},
        *(f"https://huggingface.co{AT_HUB}", [f"Bearer {HUB_TOKEN}"], [None]),
    ),
}
"""Variables, what is where (the wheel, or the place it has moved to), the pin's URL, and what each server was sent."""


@pytest.mark.parametrize("way", SENT)
def test_token_goes_to_its_own_host_alone(
    way: str, mirrors: list[ModelServer], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODELBOOT_TOKEN is for the mirrors, HF_TOKEN for the hub, and a redirect elsewhere gets neither; a login wins.

    HF_ENDPOINT stands in for the hub in a pin's URL. The file itself is asked for, not what a host says about it.
    """
    variables, places, url, *sent = SENT[way]
    urls = {"FIRST": mirrors[0].url, "SECOND": mirrors[1].url, "LOGIN": mirrors[1].url.replace("//", "//ann:pw@")}

    def there(text: str) -> str:
        return re.sub("|".join(urls), lambda found: urls[found[0]], text)

    monkeypatch.delenv("MODELBOOT_BASE_URL")
    for name, value in variables.items():
        monkeypatch.setenv(name, there(value))
    for place, moved_to in places.items():
        server = mirrors[not place.startswith("FIRST")]
        path = "/" + place.partition("/")[2]
        server.serve(path, Reply(302, {"Location": there(moved_to)}) if moved_to else Reply(body=wheel.content))
    ensure_model(wheel.pin_at(url and there(url)))
    assert [[each.headers.get("Authorization") for each in server.requests] for server in mirrors] == sent
    asked = [request for server in mirrors for request in server.requests]
    assert {request.headers["Accept"] for request in asked} == {"application/octet-stream"}


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
