"""The package index: which one is asked, what it lists, what is made of that, and who is told a login."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelboot import DownloadError, HashMismatchError, ModelbootError, OfflineError
from modelboot._progress import make_progress
from modelboot._settings import read_settings
from modelboot._sources import index_page
from modelboot._sources.fetch import FetchedWheel, fetch_wheel, make_sources
from modelboot._sources.source import Probe
from modelboot.errors import Attempt
from support.server import ModelServer, Reply, basic
from support.sources import use_index_at
from support.wheels import NAME, VERSION, BuiltWheel, altered, large_wheel

PAGE, FILE = "/simple/en-tiny-sm/", f"{NAME}-{VERSION}-py3-none-any.whl"
JSON, HTML = "application/vnd.pypi.simple.v1+json", "text/html; charset=utf-8"
HERE, OTHER_SHA256, SECRET = f"/files/{FILE}", "0" * 64, "s3cr3t-of-the-index"
LINK = f'<a href="{HERE}">{FILE}</a>'
ABSENT = f"does not list {NAME} {VERSION}"


def page(text: str, kind: str = HTML) -> Reply:
    """Return a page of an index."""
    return Reply(headers={"Content-Type": kind}, body=text.encode())


def sent(server: ModelServer) -> list[str | None]:
    """Return the login of each request for a page or a file of an index."""
    return [each.headers.get("Authorization") for each in server.requests if not each.path.startswith("/mirror")]


@dataclass(frozen=True)
class Index:
    """An index on a server, the only one that is set up, which lists the wheel without its hash; no mirror has it."""

    server: ModelServer
    wheel: BuiltWheel
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def set(self, **variables: str) -> None:
        """Set variables, or the file that one names; URL and LOGIN are the server's URL without and with a login."""
        words = {"URL": self.server.url, "LOGIN": self.server.url.replace("//", f"//ann:{SECRET}@")}
        for name, text in variables.items():
            value = re.sub(r"\b(URL|LOGIN)(?=/)", lambda found: words[found[0]], text)
            if name.endswith("_CONFIG_FILE"):
                (self.folder / name).write_text(value, "utf-8")
            self.monkeypatch.setenv(name, name if name.endswith("_CONFIG_FILE") else value)

    def fetch(self) -> FetchedWheel:
        """Fetch the wheel as an install does."""
        settings, progress = read_settings(), make_progress(read_settings().progress)
        pin = replace(self.wheel.pin_at(None), size_mb=1)
        return fetch_wheel(pin, self.folder, make_sources(settings), settings.limits(), progress)

    def failures(self) -> list[Attempt]:
        """Return how each index failed to give the wheel."""
        with pytest.raises(DownloadError) as failed:
            self.fetch()
        assert SECRET not in f"{failed.value} {failed.value!r}"
        return [attempt for attempt in failed.value.attempts if attempt.source == "index"]

    def probes(self) -> list[Probe]:
        """Return what a doctor finds."""
        settings = read_settings()
        return make_sources(settings)[-1].probe(self.wheel.pin_at(None), settings.limits())

    @property
    def asked(self) -> list[str]:
        """Every path that was asked for, but for those of the mirror."""
        return [each.path for each in self.server.requests if not each.path.startswith("/mirror")]


@pytest.fixture
def index(server: ModelServer, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return an index."""
    server.serve(PAGE, page(LINK))
    server.serve(HERE, Reply(body=wheel.content))
    use_index_at(server.url, monkeypatch)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    index = Index(server, wheel, tmp_path / "work", monkeypatch)
    index.set(MODELBOOT_RETRIES="0", MODELBOOT_BASE_URL="URL/mirror")
    return index


# --- which one is asked

CORP = {"UV_INDEX_CORP_USERNAME": "ann", "UV_INDEX_CORP_PASSWORD": SECRET}
FIRST = "[global]\nextra-index-url = URL/no\n[download]\nextra-index-url = LOGIN/simple\n"
PLACES: dict[str, dict[str, str]] = {
    "PIP_INDEX_URL": {"PIP_INDEX_URL": "LOGIN/simple/", "PIP_NO_INDEX": "False"},
    "PIP_EXTRA_INDEX_URL": {"PIP_INDEX_URL": "URL/empty", "PIP_EXTRA_INDEX_URL": "LOGIN/simple"},
    "UV_INDEX": {"PIP_INDEX_URL": "URL/empty", "UV_INDEX": "corp=URL/simple", **CORP},
    "pip.conf": {"PIP_INDEX_URL": "URL/empty", "UV_INDEX": "URL/uv", "PIP_CONFIG_FILE": FIRST},
    "pip before uv": {"UV_DEFAULT_INDEX": "URL/no", "PIP_INDEX_URL": "LOGIN/simple"},
}


@pytest.mark.parametrize("place", PLACES)
def test_index_that_settings_name(
    place: str, index: Index, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The wheel comes in silence from the index that pip's or uv's settings name, with a login that is never shown."""
    caplog.set_level(logging.DEBUG, "modelboot")
    index.monkeypatch.delenv("PIP_INDEX_URL")
    index.set(**PLACES[place])
    fetched = index.fetch()
    assert (fetched.source, fetched.downloaded_bytes) == ("index", index.wheel.size_bytes)
    assert sent(index.server)[-2:] == [basic(f"ann:{SECRET}")] * 2
    assert not [path for path in index.asked if path.startswith("/no")]
    assert tuple(capfd.readouterr()) == ("", "")
    assert SECRET not in f"{caplog.text} {fetched!r} {make_sources(read_settings())!r}"


@pytest.mark.parametrize("variable", ["MODELBOOT_INDEX=0", "MODELBOOT_OFFLINE=1", "PIP_NO_INDEX=yes"])
def test_index_switched_off(index: Index, variable: str) -> None:
    """It is not asked; where the switch is not its own, the error names it."""
    name, _, value = variable.partition("=")
    index.set(**{name: value})
    with pytest.raises(ModelbootError, match=NAME) as failed:
        index.fetch()
    assert index.asked == []
    assert (name in f"{failed.value.message} {failed.value.hint}") == (name != "MODELBOOT_INDEX")


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize("variable", ["PIP_FIND_LINKS", "UV_FIND_LINKS"])
@pytest.mark.parametrize("form", ["folder", "relative", "file URL", "wheel", "page"])
def test_find_links(index: Index, form: str, variable: str, offline: str) -> None:
    """Folders, files and pages of links are searched, relative to the working directory too, and offline as well."""
    folder = index.wheel.path.parent
    (folder / "page.html").write_text(f"<a href='{FILE}'>{FILE}</a>", "utf-8")
    values = {"folder": str(folder), "relative": os.path.relpath(folder), "file URL": folder.as_uri()}
    values |= {"wheel": str(folder / FILE), "page": (folder / "page.html").as_uri()}
    if " " in values[form] and variable.startswith("PIP"):
        pytest.skip("pip takes a space in a path for its end, and there is one where temporary files lie")
    index.set(PIP_NO_INDEX="1", MODELBOOT_OFFLINE=offline, **{variable: values[form]})
    fetched = index.fetch()
    assert (fetched.source, fetched.downloaded_bytes, index.asked) == ("index", 0, [])


def test_find_links_page_over_http(index: Index) -> None:
    """A page of links is read as it is, without a page for each package."""
    index.set(PIP_NO_INDEX="1", PIP_FIND_LINKS="URL/all.html")
    index.server.serve("/all.html", page(f"<a href='files/{FILE}'>{FILE}</a>"))
    index.fetch()
    assert index.asked == ["/all.html", HERE]


def test_find_links_page_of_files_elsewhere_offline(index: Index) -> None:
    """Without a network a page on this machine leads to nothing that is not."""
    (index.folder / "page.html").write_text(f"<a href='{index.server.url}{HERE}'>{FILE}</a>", "utf-8")
    index.set(PIP_NO_INDEX="1", PIP_FIND_LINKS="page.html", MODELBOOT_OFFLINE="1")
    with pytest.raises(OfflineError, match="names files on the network, which is switched off"):
        index.fetch()
    assert index.asked == []


def test_index_of_files(index: Index) -> None:
    """A static tree on this machine is an index, too."""
    place = index.folder / "simple" / "en-tiny-sm" / "index.html"
    place.parent.mkdir(parents=True)
    shutil.copy(index.wheel.path, index.folder / FILE)
    place.write_text(f"<a href='../../{FILE}'>{FILE}</a>", "utf-8")
    for url in ((index.folder / "simple").as_uri(), "simple"):
        index.set(PIP_INDEX_URL=url)
        assert index.fetch().source == "index"
    place.unlink()
    assert [failure.reason for failure in index.failures()] == [ABSENT]


NO_PLACE = "is neither an http, https or file URL nor a file or folder that is there"
UNASKED = {
    "": "there is no pip to say where the public index is: name one in PIP_INDEX_URL or UV_DEFAULT_INDEX",
    "http://index.example.org/simple": "is plain http, and no trusted-host of pip's",
    "file://elsewhere/simple": "is a file URL of another machine",
    "nowhere/simple": NO_PLACE,
    "ftp://example.org/simple": NO_PLACE,
    "http://[::1/simple": NO_PLACE,
    "https://example.org:99999/": NO_PLACE,
}


@pytest.mark.parametrize("url", UNASKED)
def test_index_that_cannot_be_asked(index: Index, url: str) -> None:
    """What is not a place to ask is named with its reason, and the others are asked all the same."""
    index.monkeypatch.setattr("modelboot._sources.index_settings.public_index", lambda: "")
    index.set(PIP_INDEX_URL=url)
    assert [failure.reason for failure in index.failures()] == [UNASKED[url]]
    index.set(PIP_EXTRA_INDEX_URL="URL/simple")
    assert index.fetch().source == "index"


# --- what it lists


def entry(*others: object, **facts: object) -> str:
    """Return a page in JSON that lists the wheel with some facts, after other entries."""
    return json.dumps({"meta": {"api-version": "1.1"}, "files": [*others, {"filename": FILE, "url": HERE, **facts}]})


PINNED = {"hashes": {"sha256": "SHA256"}}
BROKEN = [7, {}, {"filename": FILE}, {"filename": FILE, "url": "http://[/x"}, {"filename": FILE, "url": 7}]
OTHER_FILES = (
    "<a>nothing</a><a href='http://[/x'>broken</a><a href='mailto:a@b'>mail</a>"
    f"<a href='/files/{NAME}-0.9.0-py3-none-any.whl'>old</a><a href='/files/{NAME}-{VERSION}.tar.gz'>source</a>"
    f"<a href='/files/{NAME}_more-{VERSION}-py3-none-any.whl'>another</a>"
)
PAGES: dict[str, tuple[str, str]] = {
    "json": (JSON, entry(**PINNED)),
    "json, capitals": (JSON, entry(hashes={"sha256": "CAPITALS"})),
    "json without hashes": (JSON, entry()),
    "json, null for hashes": (JSON, entry(hashes=None)),
    "json, yanked": (JSON, entry(**PINNED, yanked="broken")),
    "json, entries that cannot be read": (JSON, entry(*BROKEN, **PINNED)),
    "html": (HTML, f'<a href="{HERE}#sha256=SHA256">{FILE}</a>'),
    "html of its own type": ("application/vnd.pypi.simple.v1+html", f'<a href="{HERE}#sha256=SHA256">{FILE}</a>'),
    "html without hashes": (HTML, LINK),
    "html, another kind of hash": (HTML, f'<a href="{HERE}#md5=abc">{FILE}</a>'),
    "html, relative": (HTML, f'<a href="../../files/{FILE}">{FILE}</a>'),
    "html, relative to a base": (HTML, f'<base href="/files/"><a href="{FILE}">{FILE}</a>'),
    "html, yanked": (HTML, f'<a data-yanked="" href="{HERE}">{FILE}</a>'),
    "html, other files": (HTML, f"{OTHER_FILES}<a href={HERE}>it</a>"),
    "html, other bytes first": (HTML, f'<a href="/no#sha256={OTHER_SHA256}"></a><a href="{HERE}#sha256=SHA256"></a>'),
}


@pytest.mark.parametrize(("kind", "text"), PAGES.values(), ids=PAGES)
def test_page_lists_the_wheel(index: Index, kind: str, text: str) -> None:
    """The pinned file is found in every form that a page may have, and nothing else is asked for."""
    sha256 = index.wheel.sha256
    index.server.serve(PAGE, page(text.replace("SHA256", sha256).replace("CAPITALS", sha256.upper()), kind))
    fetched = index.fetch()
    assert (fetched.source, fetched.path.read_bytes()) == ("index", index.wheel.content)
    assert index.asked == [PAGE, HERE]
    assert JSON in index.server.requests[-2].headers["Accept"]


OTHER_BYTES = f"lists other bytes: sha256 {OTHER_SHA256}"
NO_INDEX = "is not a package index (JSON without files)"
WANTED = "give user:password in the index's URL, .netrc or a keyring"
TOO_MUCH = "sends more than the 3,932,160 bytes expected"
USELESS: dict[str, tuple[dict[str, Reply], str, str]] = {
    "404": ({PAGE: Reply(404)}, "missing", f"{ABSENT} (HTTP 404 Not Found)"),
    "403": ({PAGE: Reply(403)}, "auth", f"HTTP 403 Forbidden: {WANTED}"),
    "500": ({PAGE: Reply(500)}, "other", "HTTP 500 Internal Server Error"),
    "other files": ({PAGE: page(OTHER_FILES)}, "missing", ABSENT),
    "other bytes": ({PAGE: page(f"<a href='{HERE}#sha256={OTHER_SHA256}'>")}, "bytes", OTHER_BYTES),
    "no files": ({PAGE: page('{"files": []}', JSON)}, "missing", ABSENT),
    "no object": ({PAGE: page("[]", JSON)}, "not_a_wheel", NO_INDEX),
    "too many": ({PAGE: page("[" * 600_000, JSON)}, "other", "lists more than 500,000 entries"),
    "brackets": ({PAGE: page("[" * 200_000, JSON)}, "not_a_wheel", NO_INDEX),
    "type": ({PAGE: page("x", "image/png")}, "not_a_wheel", "is not a package index (image/png)"),
    "short": ({PAGE: replace(page("<a>"), declared_length=99)}, "short", "cut short"),
    "without end": ({PAGE: replace(page("<a>"), endless=True)}, "other", "lists more than 1,048,576 bytes"),
    "silence": ({PAGE: Reply(stall="headers")}, "other", "deadline of 0.5 s passed"),
    "file too large": ({HERE: Reply(body=b"PK", endless=True)}, "other", TOO_MUCH),
}


@pytest.mark.parametrize(("replies", "kind", "reason"), USELESS.values(), ids=USELESS)
def test_page_of_no_use(
    index: Index, replies: dict[str, Reply], kind: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Why an index did not give the wheel is said in a few words, and printed nowhere; an error waits for no more."""
    index.monkeypatch.setattr(index_page, "MAX_PAGE_BYTES", 1 << 20)
    index.set(PIP_INDEX_URL="LOGIN/simple", MODELBOOT_DEADLINE="0.5" if reason.startswith("deadline") else "60")
    for path, reply in replies.items():
        index.server.serve(path, reply)
    (failure,) = index.failures()
    assert (failure.kind, failure.reason) == (kind, reason)
    assert index.asked == [PAGE, *([HERE] if HERE in replies else [])]
    assert tuple(capfd.readouterr()) == ("", "")


def test_page_of_a_busy_index_is_asked_for_twice(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that fails, or is not given in time, is asked for once more, however many retries a download has."""
    monkeypatch.setattr("modelboot._network.retry.FIRST_DELAY_S", 0.01)
    index.set(MODELBOOT_RETRIES="9", MODELBOOT_TIMEOUT="0.3")
    for reply, reason in ((Reply(503), "HTTP 503 Service Unavailable"), (Reply(stall="headers"), "no byte for 0.3 s")):
        index.server.serve(PAGE, reply)
        before = len(index.asked)
        assert [failure.reason for failure in index.failures()] == [f"{reason}, 2 attempts"]
        assert index.asked[before:] == [PAGE] * 2


def test_bytes_of_another(index: Index, tmp_path: Path) -> None:
    """A file without a listed hash that has other bytes is refused; one of the same name that is right is taken."""
    other = altered(index.wheel, tmp_path / "altered")
    index.server.serve(f"/a/{FILE}", Reply(body=other.read_bytes()))
    index.server.serve(PAGE, page(f'<a href="/a/{FILE}">{FILE}</a>'))
    with pytest.raises(HashMismatchError) as refused:
        index.fetch()
    assert refused.value.attempts[-1].reason.startswith("got sha256 ")
    index.server.serve(PAGE, page(f'<a href="/a/{FILE}">{FILE}</a>{LINK}'))
    assert index.fetch().path.read_bytes() == index.wheel.content


def test_next_index_after_one_that_fails(
    index: Index, other_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A squatter's index first, the right one next: the wheel is got, and the other bytes are a warning."""
    other_server.serve(PAGE, page(f'<a href="{HERE}#sha256={OTHER_SHA256}">'))
    index.set(PIP_INDEX_URL=f"{other_server.url}/simple", PIP_EXTRA_INDEX_URL="URL/simple")
    assert index.fetch().source == "index"
    assert [record.levelname for record in caplog.records if OTHER_SHA256 in record.getMessage()] == ["WARNING"]


# --- logins


EVE = "machine 127.0.0.1 login eve password e\n"
LOGINS: dict[str, tuple[str, str, str | None, str | None]] = {
    "URL": ("ann:s3cr%2Fet@", "", basic("ann:s3cr/et"), None),
    ".netrc": ("", EVE, basic("eve:e"), None),
    "user in the URL": ("eve@", EVE, basic("eve:e"), None),
    "host of the file": ("", "machine localhost login bob password b\n", None, basic("bob:b")),
    "default": ("", "default login eve password e\n", basic("eve:e"), None),
}
"""What the index's URL begins with, .netrc, and what goes to the index and to a file elsewhere."""


@pytest.mark.parametrize("case", LOGINS)
def test_login_goes_to_its_own_host(index: Index, other_server: ModelServer, tmp_path: Path, case: str) -> None:
    """The login of a URL goes to the index alone, .netrc's to the host it names; its default to the index.

    A host that only a page names gets neither. A file at the index gets its login: test_index_that_settings_name.
    """
    start, netrc, to_page, to_file = LOGINS[case]
    (tmp_path / "netrc").write_text(netrc, "utf-8")
    index.set(PIP_INDEX_URL=f"{index.server.url.replace('//', f'//{start}')}/simple")
    index.server.serve(PAGE, page(f'<a href="http://localhost:{other_server.port}/x/{FILE}">'))
    other_server.serve(f"/x/{FILE}", Reply(body=index.wheel.content))
    index.fetch()
    assert (sent(index.server), sent(other_server)) == ([to_page], [to_file])


def test_login_does_not_follow_a_redirect(index: Index, other_server: ModelServer, tmp_path: Path) -> None:
    """Another host that an index redirects to gets no login, not even one of its own in .netrc."""
    (tmp_path / "netrc").write_text("machine localhost login bob password b\n", "utf-8")
    index.set(PIP_INDEX_URL="LOGIN/simple")
    index.server.serve(PAGE, Reply(302, {"Location": f"http://localhost:{other_server.port}{PAGE}"}))
    (failure,) = index.failures()
    assert failure.reason == f"{ABSENT} (HTTP 404 Not Found) (at localhost:{other_server.port})"
    assert sent(other_server) == [None]


@pytest.mark.parametrize("provider", ["auto", "import"])
def test_login_of_the_keyring_module(index: Index, provider: str) -> None:
    """The keyring is asked for the index by its URL, then by its host, once the index wants a login."""
    services: list[tuple[str, str | None]] = []

    def get_credential(service: str, user: str | None) -> SimpleNamespace | None:
        services.append((service, user))
        return None if "://" in service else SimpleNamespace(username="ann", password="p@ss")  # noqa: S106 - none of anybody

    index.monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_credential=get_credential))
    index.set(PIP_KEYRING_PROVIDER=provider)
    index.server.serve(PAGE, Reply(401), page(LINK))
    index.fetch()
    assert services == [(f"{index.server.url}/simple/", None), (index.server.url.removeprefix("http://"), None)]
    assert sent(index.server) == [None, basic("ann:p@ss"), basic("ann:p@ss")]


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("tool", ["PIP", "UV"])
def test_login_of_the_keyring_program(index: Index, tool: str) -> None:
    """Where a setting asks for it, the program is run with the user that the URL names."""
    program = index.folder / "keyring"
    program.write_text('#!/bin/sh\necho "$@" >>"$0.asked"\ntest "$3" = ann && echo pa55\n', "utf-8")
    program.chmod(0o755)
    index.monkeypatch.delenv("PIP_INDEX_URL")
    url = f"{index.server.url.replace('//', '//ann@')}/simple/"
    index.set(PATH=f"{index.folder}{os.pathsep}{os.environ['PATH']}", **{f"{tool}_KEYRING_PROVIDER": "subprocess"})
    index.set(**{"PIP_INDEX_URL" if tool == "PIP" else "UV_DEFAULT_INDEX": url})
    index.server.serve(PAGE, Reply(401), page(LINK))
    index.fetch()
    assert program.with_name("keyring.asked").read_text("utf-8") == f"get {index.server.url}/simple/ ann\n"
    assert sent(index.server) == [basic("ann:"), basic("ann:pa55"), basic("ann:pa55")]


def test_keyring_that_is_switched_off_or_broken(index: Index) -> None:
    """A keyring that may not be asked is not asked; what one raises is told without its words."""

    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    index.server.serve(PAGE, Reply(401))
    for provider, ask in (("auto", fail), ("disabled", pytest.fail)):
        index.monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_credential=ask))
        index.set(PIP_KEYRING_PROVIDER=provider)
        (failure,) = index.failures()
        assert failure.reason == f"HTTP 401 Unauthorized: {WANTED}"


# --- what is shown


def test_secret_of_an_index_is_never_shown(index: Index) -> None:
    """Neither a login nor a path, which may have a token in it, appears in an error, a probe or a repr."""
    index.set(PIP_INDEX_URL=f"LOGIN/{SECRET}/simple?k={SECRET}")
    (failure,) = index.failures()
    assert SECRET not in f"{index.probes()} {make_sources(read_settings())}"
    assert index.server.url in str(failure)


PROBES: dict[str, tuple[Reply, bool, str]] = {
    "pinned": (page(f'<a href="{HERE}#sha256=SHA256">'), True, f"lists {NAME} {VERSION} with the pinned hash"),
    "no hash": (page(LINK), True, f"lists {NAME} {VERSION} without a hash: an install compares it"),
    "other bytes": (page(f'<a href="{HERE}#sha256={OTHER_SHA256}">'), False, "lists other bytes"),
    "none": (page(""), False, ABSENT),
    "silence": (Reply(stall="headers"), False, "deadline of 0.5 s passed"),
}


@pytest.mark.parametrize(("reply", "ok", "found"), PROBES.values(), ids=PROBES)
def test_probe(index: Index, reply: Reply, ok: bool, found: str) -> None:  # noqa: FBT001 - a case
    """The doctor is told by the deadline whether the index has the wheel; the page is read, and nothing downloaded."""
    index.server.serve(PAGE, replace(reply, body=reply.body.replace(b"SHA256", index.wheel.sha256.encode())))
    index.set(MODELBOOT_DEADLINE="0.5" if reply.stall else "60")
    (probe,) = index.probes()
    assert (probe.subject, probe.value, probe.ok, probe.found) == ("index", index.server.url, ok, found)
    assert index.asked == [PAGE]


def test_index_shows_what_has_come(index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Who waits is told that the index is asked, and then how much of how much has come."""
    large = large_wheel(tmp_path / "large", size_bytes=300_000)
    index.server.serve(HERE, Reply(body=large.content, drip_bytes_per_s=400_000))
    index.set(MODELBOOT_PROGRESS="1")
    replace(index, wheel=large).fetch()
    assert re.search(r"asking index.*\d+kB", capfd.readouterr().err, re.DOTALL)
