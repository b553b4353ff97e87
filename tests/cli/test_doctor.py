"""`modelboot doctor`: what it finds, and that it changes nothing."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from modelboot import _catalog, ensure_model
from support.children import OTHER, public_folder, python, skip_unless_other_user
from support.commands import MAIN, facts, output, reference, run
from support.folders import snapshot
from support.server import ModelServer, Reply
from support.sources import catalog_lines, use_index_at
from support.wheels import NAME, BuiltWheel

FILE = f"{NAME}-1.0.0-py3-none-any.whl"
PATH = f"/{NAME}-1.0.0/{FILE}"
BLOCKS = ("versions", "settings", "installed", "targets", "sources")
"""The findings, in the order of the text."""


@pytest.fixture
def _offline(file_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalog know a small wheel alone, without a mirror or a network."""
    assert file_mirror.is_dir()
    monkeypatch.setenv("MODELBOOT_BASE_URL", "")
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")


@pytest.fixture
def mirror(file_mirror: Path, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Return the mirror that has the wheel, which is all that the catalog knows."""
    assert file_mirror.is_dir()
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    return mirror


def find(block: str, subject: str, **env: str) -> dict[str, Any]:
    """Return the one finding about a subject, whatever it is; the doctor's status is 0."""
    (finding,) = [item for item in facts("doctor", NAME, **env)[block] if item["subject"] == subject]
    return dict(finding)


def last_line() -> str:
    """Return what the doctor says in the end: what an install would do now."""
    return " ".join(output("doctor", NAME).split("\n\n")[-1].split())


# --- what is printed


@pytest.mark.usefixtures("_offline")
def test_doctor_json() -> None:
    """The JSON has the documented keys, URLs whole, and null for what was not asked."""
    found = facts("doctor", NAME)
    assert set(found) == {"model", "unmet", "advice", *BLOCKS}
    assert (found["model"], found["installed"]) == (f"{NAME} 1.0.0", [])
    keys = {frozenset(item) for block in BLOCKS for item in found[block]}
    assert keys == {frozenset({"subject", "value", "ok", "found", "origin", "through", "seconds"})}
    assert {item["subject"] for item in found["versions"]} >= {"modelboot", "Python", "spaCy", "uv"}
    release = found["sources"][0]
    assert release["value"].startswith("https://github.com/explosion/spacy-models/releases/download/")
    assert (release["ok"], release["found"]) == (None, "not asked: MODELBOOT_OFFLINE=1")


@pytest.mark.usefixtures("_offline")
def test_doctor_text_has_what_the_json_has(tmp_path: Path, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding is in the text, in the order of the JSON, and a setting stands on one line with where it is from."""
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "none"))
    monkeypatch.setenv("NETRC", os.devnull)
    ensure_model(wheel.pin)
    found, text = facts("doctor", NAME), output("doctor", NAME)
    at = 0
    for item in [item for block in BLOCKS for item in found[block]]:
        for part in (item["subject"], *item["found"].split()):
            at = text.index(part, at) + len(part)
    for item in found["settings"]:
        line = rf"^  {item['subject']} +{item['origin']} +{re.escape(item['value'])}( s)?$"
        assert re.search(line, text, re.MULTILINE)
    assert f"  no  wheelhouse  {tmp_path / 'none'}\n" in text
    assert f"  https://github.com/.../{FILE}\n" in text
    assert max(map(len, text.partition("\nsources")[2].splitlines())) <= 100


@pytest.mark.usefixtures("_offline")
def test_doctor_on_a_narrow_terminal(tmp_path: Path, target: Path) -> None:
    """No path is broken: those of a list stand below one another, and all else breaks between words."""
    folders = [str(tmp_path / f"wheels of {owner}") for owner in ("Ann", "Bob")]
    told = run("doctor", NAME, COLUMNS="60", MODELBOOT_WHEELHOUSE=os.pathsep.join(folders))
    lines = [line.strip() for line in told.out.splitlines()]
    assert {f"{folders[0]}{os.pathsep}", *folders, str(target)} <= {*lines}
    assert not [line for line in lines if len(line) > 60 and not line.startswith((str(tmp_path), "https:", sys.prefix))]


# --- sources


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (Reply(body=b"PK" * 50_000, drip_bytes_per_s=10), "has the wheel"),
        (Reply(404), "HTTP 404 Not Found"),
        (Reply(headers={"Content-Type": "text/html"}, body=b"<html>"), "something other than a wheel (text/html)"),
        (Reply(body=b"<html>"), "something other than a wheel (no content type)"),
        (Reply(body=b""), "an empty response"),
        (Reply(302, headers={"Location": "ftp://x/y"}), "redirects from http to ftp://x/y"),
        (Reply(stall="headers"), "no answer within 0.2 s"),
    ],
    ids=["slow", "404", "page", "untyped page", "empty", "redirect", "silence"],
)
def test_doctor_mirror(reply: Reply, found: str, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a mirror has the wheel, and if not why, is told in words after one request, with the time it took.

    That is so many seconds and no more, whatever the settings allow an install.
    """
    monkeypatch.setattr("modelboot.cli.diagnose.PROBE_S", 0.2 if reply.stall else 10)
    mirror.serve(PATH, reply)
    finding = find("sources", "mirror")
    assert finding["ok"] is (found == "has the wheel")
    assert finding["found"].startswith(found)
    assert finding["value"] == f"{mirror.url}{PATH}"
    assert finding["seconds"] >= 0
    assert len(mirror.requests) == 1


def test_doctor_names_the_host_behind_a_redirect(mirror: ModelServer, other_server: ModelServer) -> None:
    """A firewall that knows only the first host lets the second one fail: that one is named."""
    mirror.serve(PATH, Reply(302, {"Location": f"{other_server.url}/blob?sig=s3cret"}))
    other_server.serve("/blob", Reply(403))
    found = find("sources", "mirror")["found"]
    assert found.startswith("HTTP 403 Forbidden")
    assert found.endswith(f"(at 127.0.0.1:{other_server.port}, after a redirect)")


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(("folder", "found"), [("mirror", "the wheel is there"), ("none", "no such file")])
def test_doctor_mirror_of_files(folder: str, found: str, tmp_path: Path) -> None:
    """A file URL is looked at although the network is switched off."""
    finding = find("sources", "mirror", MODELBOOT_BASE_URL=(tmp_path / folder).as_uri())
    assert (finding["ok"], finding["found"]) == (found == "the wheel is there", found)


@pytest.mark.parametrize(
    ("files", "ok", "found"),
    [
        ([FILE], True, f"has {FILE}"),
        ([PATH.lstrip("/")], True, f"has {FILE}"),
        (["a.whl", "b.whl"], None, f"no {FILE}, but wheels of other names (2), which an install compares by hash"),
        (["notes.txt"], False, f"no {FILE}"),
        ([], False, "No such file or directory"),
    ],
    ids=["named", "tree", "others", "none", "absent"],
)
@pytest.mark.usefixtures("_offline")
def test_doctor_wheelhouse(files: list[str], ok: object, found: str, wheel: BuiltWheel, tmp_path: Path) -> None:
    """Each wheelhouse is told with whether it has the wheel."""
    for file in files:
        path = tmp_path / "wheels" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wheel.content)
    finding = find("sources", "wheelhouse", MODELBOOT_WHEELHOUSE=str(tmp_path / "wheels"))
    assert (finding["ok"], finding["found"]) == (ok, found)


@pytest.mark.usefixtures("mirror")
def test_doctor_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is switched off is told as such; one that does not answer is of no use, after so long."""
    finding = find("sources", "index")
    assert (finding["ok"], finding["found"]) == (None, "not asked: MODELBOOT_INDEX=0")
    use_index_at("http://127.0.0.1:9", monkeypatch)
    finding = find("sources", "index")
    assert (finding["ok"], finding["seconds"] is None) == (False, False)


def test_doctor_names_the_proxy_that_is_used(mirror: ModelServer) -> None:
    """It is told without what is secret in it; that no setting is shown with its secret: promises/test_secrets.py."""
    urls = {"MODELBOOT_BASE_URL": "http://localhost:PORT", "http_proxy": "http://pat:s3cret@127.0.0.1:PORT"}
    env = {name: url.replace("PORT", str(mirror.port)) for name, url in urls.items()}
    assert find("sources", "mirror", **env)["through"] == f"http://127.0.0.1:{mirror.port}"


# --- settings and programs


@pytest.mark.usefixtures("_offline")
def test_doctor_settings(tmp_path: Path) -> None:
    """Each setting has its value and where it is from; certificates that are not there are told."""
    folders = os.pathsep.join([str(tmp_path), str(tmp_path / "t#o")])
    env = {"MODELBOOT_TIMEOUT": " 7 ", "SSL_CERT_FILE": str(tmp_path / "none.pem"), "SSL_CERT_DIR": folders}
    settings = facts("doctor", NAME, "--offline", "--target", tmp_path / "here", **env)["settings"]
    found = {item["subject"]: (item["value"], item["origin"], item["ok"], item["found"]) for item in settings}
    assert found["MODELBOOT_OFFLINE"] == ("1", "command line", True, "")
    assert found["MODELBOOT_TARGET"] == (str(tmp_path / "here"), "command line", True, "")
    assert found["MODELBOOT_TIMEOUT"] == ("7", "environment", True, "")
    for name, default in (("RETRIES", "4"), ("BASE_URL", "the official release"), ("WHEELHOUSE", "none")):
        assert found[f"MODELBOOT_{name}"] == (default, "default", True, "")
    assert found["SSL_CERT_FILE"] == (str(tmp_path / "none.pem"), "environment", False, "no such file")
    assert found["SSL_CERT_DIR"] == (folders, "environment", False, f"no such folder: {tmp_path / 't#o'}")
    (tmp_path / "t#o").mkdir()
    assert find("settings", "SSL_CERT_DIR", SSL_CERT_DIR=folders)["ok"] is True


# --- targets, and what comes of it


@pytest.mark.usefixtures("mirror")
def test_doctor_says_what_an_install_would_do(wheel: BuiltWheel, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be fetched from where into which target, that there is nothing to do, or that no source has it.

    Where no target can be written either, that is what counts.
    """
    assert last_line() == f"{NAME} 1.0.0 would be fetched from mirror and installed into: MODELBOOT_TARGET"
    finding = find("targets", "MODELBOOT_TARGET")
    assert (finding["ok"], finding["found"]) == (True, "writable, locks work")
    ensure_model(wheel.pin_at(None))
    (installed,) = facts("doctor", NAME)["installed"]
    assert (installed["value"], installed["found"]) == (str(target), "intact")
    assert last_line() == f"nothing to do: {NAME} 1.0.0 is installed in: MODELBOOT_TARGET"
    monkeypatch.setenv("MODELBOOT_TARGET", str(target / "other"))
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    assert last_line() == f"{NAME} 1.0.0 cannot be fetched now: no source has it"
    monkeypatch.setenv("MODELBOOT_TARGET", __file__)
    assert last_line() == f"{NAME} 1.0.0 cannot be installed here: no target can be written"


@pytest.mark.parametrize(
    ("made", "command"),
    [(None, "pip"), ("home = /usr/bin\n", "pip"), ("home = /usr/bin\nuv = 0.13.9\n", "uv pip")],
)
@pytest.mark.usefixtures("_offline")
def test_doctor_says_what_the_model_needs(
    made: str | None, command: str, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requirement that is not met is what comes of it: an install stops there, whichever source has the wheel.

    An environment that uv made says so itself: there uv installs what is needed, and `uv sync` removes models.
    """
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    if made:
        (tmp_path / "pyvenv.cfg").write_text(made, "utf-8")
    lines = [f"{line}nosuchtokenizer>=2;packaging" if NAME in line else line for line in catalog_lines(wheel)]
    monkeypatch.setattr(_catalog, "_lines", lambda: lines)
    needs = f"{NAME} 1.0.0 needs nosuchtokenizer>=2 (not installed): run `{command} install 'nosuchtokenizer>=2'`"
    assert last_line() == facts("doctor", NAME)["unmet"] == needs
    assert ("`uv sync` removes models" in output("doctor", NAME)) == (command == "uv pip")


@pytest.mark.usefixtures("mirror")
def test_doctor_names_the_store_where_the_target_is_taken(wheel: BuiltWheel, target: Path, tmp_path: Path) -> None:
    """A package of that name that is not modelboot's stays in the target: the doctor names the store, as an install."""
    (target / NAME).mkdir(parents=True)
    (target / NAME / "__init__.py").touch()
    finding = find("targets", "MODELBOOT_TARGET")
    assert (finding["ok"], finding["found"]) == (False, "has one that modelboot may not replace or read")
    assert last_line() == f"{NAME} 1.0.0 would be fetched from mirror and installed into: store"
    assert ensure_model(wheel.pin_at(None)).path.is_relative_to(tmp_path / "home")


def test_doctor_as_another_user() -> None:
    """A user without permissions is told which targets can be written; a home that may not be entered ends nothing."""
    skip_unless_other_user()
    with public_folder() as folder:
        closed, own = folder / "closed", folder / "own"
        closed.mkdir(mode=0o700)
        own.mkdir()
        own.chmod(0o777)

        def doctor(target: str, home: Path) -> dict[str, Any]:
            env = {"MODELBOOT_OFFLINE": "1", "MODELBOOT_WHEELHOUSE": str(closed), "HOME": str(closed)}
            env |= {"MODELBOOT_TARGET": target, "MODELBOOT_HOME": str(home)}
            return dict(json.loads(python(MAIN, "doctor", "--json", user=OTHER, env=env).stdout))

        in_target, closed_home, own_home = doctor(str(folder), own), doctor("", closed / "home"), doctor("", own)
        assert [*own.iterdir()] == []
    target, store = in_target["targets"]
    assert (target["value"], target["ok"], target["found"]) == (str(folder), False, f"user {OTHER} may not write there")
    assert (store["ok"], store["found"]) == (None, "not used: MODELBOOT_TARGET is set")
    wheelhouse = in_target["sources"][0]
    assert (wheelhouse["value"], wheelhouse["ok"], wheelhouse["found"]) == (str(closed), False, "Permission denied")
    assert [answer["targets"][-1]["ok"] for answer in (closed_home, own_home)] == [False, True]


def test_doctor_ends_where_no_folder_above_the_target_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target on a drive that is gone, without even a topmost folder, keeps the doctor from nothing."""
    gone, exists = str(tmp_path / "gone"), os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not gone.startswith(str(path)) and exists(path))
    targets = facts("doctor", MODELBOOT_TARGET=gone, MODELBOOT_OFFLINE="1")["targets"]
    assert targets[0]["value"] == gone


def test_doctor_changes_nothing(
    wheel: BuiltWheel, mirror: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is made, not even for a moment, wherever it looks: targets, stores, home, temporary files, caches."""
    for name in ("target", "home", "user", "cwd", "wheels", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "wheels" / FILE).write_bytes(b"PK")
    page = f'<!DOCTYPE html><a href="/{FILE}">{FILE}</a>'.encode()
    mirror.serve("/simple/en-tiny-sm/", Reply(headers={"Content-Type": "text/html"}, body=page))
    use_index_at(mirror.url, monkeypatch)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path / "cwd")
    folders = {"MODELBOOT_WHEELHOUSE": "wheels", "HOME": "user", "TMPDIR": "tmp"}
    env = {name: str(tmp_path / folder) for name, folder in folders.items()}
    before = snapshot(tmp_path, without=(), strict=True)
    output("doctor", reference(wheel.pin_at(f"{mirror.url}{PATH}")), **env)
    assert {request.path for request in mirror.requests} == {PATH, "/simple/en-tiny-sm/"}
    assert snapshot(tmp_path, without=(), strict=True) == before
