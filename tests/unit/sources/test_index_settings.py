"""Which package indexes pip and uv are set up with: read as they read it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelboot._environment import is_on
from modelboot._sources.index_settings import pip_settings, public_index, unread_files, uv_settings

MAIN, MORE, OLD = (f"https://example.org/{name}/simple" for name in ("main", "more", "old"))
WITH_LOGIN = MORE.replace("//", "//me:mine@")
CORP_LOGIN = {"UV_INDEX_MY_CORP_USERNAME": "a@b", "UV_INDEX_MY_CORP_PASSWORD": "p/w"}
BOTH_KEYS = f'index-url = "{OLD}"\nextra-index-url = ["{MORE}"]'
TABLES = f'[[index]]\nurl = "{MORE}"\n[[index]]\nname = "a"\nurl = "{MAIN}"\ndefault = true'
ROWS: dict[str, tuple[Mapping[str, str], str, tuple[str, list[str]]]] = {
    "none": ({}, "", ("", [])),
    "default": ({"UV_DEFAULT_INDEX": MAIN}, "", (MAIN, [])),
    "named": ({"UV_DEFAULT_INDEX": f"corp={MAIN}"}, "", (MAIN, [])),
    "old name": ({"UV_INDEX_URL": OLD}, "", (OLD, [])),
    "new beats old": ({"UV_INDEX_URL": OLD, "UV_DEFAULT_INDEX": MAIN}, "", (MAIN, [])),
    "several": ({"UV_INDEX": f"{MAIN} more={MORE}"}, "", ("", [MAIN, MORE])),
    "both extra": ({"UV_INDEX": MORE, "UV_EXTRA_INDEX_URL": f"{OLD} {MORE}"}, "", ("", [MORE, OLD])),
    "login": ({"UV_INDEX": f"my-corp={MAIN}", **CORP_LOGIN}, "", ("", [MAIN.replace("//", "//a%40b:p%2Fw@")])),
    "own login": ({"UV_INDEX": f"my-corp={WITH_LOGIN}", **CORP_LOGIN}, "", ("", [WITH_LOGIN])),
    "old keys": ({}, BOTH_KEYS, (OLD, [MORE])),
    "tables": ({}, TABLES, (MAIN, [MORE])),
    "explicit": ({}, f'[[index]]\nname = "torch"\nurl = "{MORE}"\nexplicit = true', ("", [])),
    "pip": ({}, f'[pip]\nindex-url = "{MAIN}"', (MAIN, [])),
    "other types": ({}, "index = 7\nindex-url = []\nextra-index-url = 1", ("", [])),
    "broken": ({}, "no [toml", ("", [])),
    "variable and file": ({"UV_DEFAULT_INDEX": MAIN}, BOTH_KEYS, (MAIN, [MORE])),
    "system's file": ({"XDG_CONFIG_HOME": "FOLDER/none", "XDG_CONFIG_DIRS": "FOLDER"}, TABLES, (MAIN, [MORE])),
    "user's and system's": ({"XDG_CONFIG_DIRS": "FOLDER/system"}, BOTH_KEYS, (OLD, [MORE, MAIN])),
    "named file": ({"UV_CONFIG_FILE": "FOLDER/system/uv/uv.toml"}, BOTH_KEYS, ("", [MAIN])),
    "no file": ({"UV_NO_CONFIG": "1"}, BOTH_KEYS, ("", [])),
}
"""Variables, the text of uv.toml in the folder that XDG_CONFIG_HOME names, and what stands in for the public index and
what is asked as well. The system's own file names one that is asked as well."""


@pytest.mark.parametrize(("variables", "text", "indexes"), ROWS.values(), ids=ROWS)
def test_index_settings_of_uv(
    variables: Mapping[str, str], text: str, indexes: tuple[str, list[str]], tmp_path: Path
) -> None:
    """A variable beats the user's file, and that the system's; those asked as well add up."""
    if text and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 has no reader of TOML")
    for folder, content in ((tmp_path, text), (tmp_path / "system", f'extra-index-url = ["{MAIN}"]')):
        (folder / "uv").mkdir(parents=True)
        (folder / "uv" / "uv.toml").write_text(content, "utf-8")
    environ = {"XDG_CONFIG_HOME": "FOLDER", "XDG_CONFIG_DIRS": "FOLDER/none", **variables}
    found = uv_settings({name: value.replace("FOLDER", str(tmp_path)) for name, value in environ.items()})
    assert ("".join(found.default), [*found.extra]) == indexes


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="since Python 3.11 there is a reader of TOML")
def test_index_settings_without_a_reader(tmp_path: Path) -> None:
    """On Python 3.10, which has no reader of TOML, variables count alone, and the file that does not is known."""
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(BOTH_KEYS, "utf-8")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere"}
    assert uv_settings({**environ, "UV_DEFAULT_INDEX": MAIN}).default == (MAIN,)
    assert unread_files(environ)[0] == str(tmp_path / "uv" / "uv.toml")


# --- pip's settings, as pip itself finds them

AS_PIP = """
import json, os, sys
from pip._internal.commands import create_command

def found(environ):
    os.environ.clear()
    os.environ.update(environ)
    sys.prefix = environ["PREFIX"]
    options, _ = create_command(environ.get("COMMAND", "install")).parse_args(["x"])
    return {
        "index-url": options.index_url,
        "extra-index-url": options.extra_index_urls,
        "find-links": options.find_links,
        "no-index": bool(options.no_index),
        "cert": options.cert,
        "client-cert": options.client_cert,
        "proxy": options.proxy or None,
        "trusted-host": options.trusted_hosts,
        "keyring-provider": getattr(options, "keyring_provider", None),
    }

print(json.dumps([found(environ) for environ in json.load(sys.stdin)]))
"""
SYSTEM, LEGACY, USER, NAMED = "xdg/pip/pip.conf", "home/.pip/pip.conf", "home/.config/pip/pip.conf", "named.conf"
SITE, MOVED = "prefix/pip.conf", "moved/pip/pip.conf"
IS_OLD, IS_MAIN = f"[global]\nindex-url = {OLD}\n", f"[global]\nindex-url = {MAIN}\n"
OF_INSTALL, OF_DOWNLOAD = (IS_MAIN.replace("global", section) for section in ("install", "download"))
LISTS = f"[global]\nextra-index-url = {OLD} {MAIN}\ntrusted-host = a b:81\n"
BY_NAME = {"PIP_CONFIG_FILE": "{folder}/named.conf"}
PATHS = {"PIP_CERT": "~/b.pem", "PIP_CLIENT_CERT": "/c.pem", "PIP_PROXY": "http://new:2"}
SWITCHES = {"PIP_NO_INDEX": "true", "PIP_TRUSTED_HOST": "x", "PIP_KEYRING_PROVIDER": "import"}
PIP_CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "nothing": ({}, {}),
    "system": ({SYSTEM: LISTS}, {}),
    "user beats system": ({SYSTEM: IS_OLD, USER: IS_MAIN}, {}),
    "new user's beats old": ({LEGACY: IS_OLD, USER: IS_MAIN}, {}),
    "old user's file": ({LEGACY: IS_OLD.replace("-", "_")}, {}),
    "user's file elsewhere": ({USER: IS_OLD, MOVED: IS_MAIN}, {"XDG_CONFIG_HOME": "{folder}/moved"}),
    "environment beats user": ({USER: IS_OLD, SITE: IS_MAIN}, {}),
    "named file beats environment": ({SITE: IS_OLD, NAMED: IS_MAIN}, BY_NAME),
    "named file replaces the user's": ({USER: IS_OLD, NAMED: LISTS}, BY_NAME),
    "named file that is not there": ({USER: IS_OLD}, BY_NAME),
    "no file": ({SYSTEM: IS_OLD}, {"PIP_CONFIG_FILE": os.devnull}),
    "section beats file": ({SYSTEM: OF_INSTALL, USER: IS_OLD}, {}),
    "section for downloads": ({SYSTEM: OF_DOWNLOAD, USER: IS_OLD}, {"COMMAND": "download"}),
    "section for installs beats it": ({SYSTEM: OF_INSTALL, USER: OF_DOWNLOAD.replace(MAIN, OLD)}, {}),
    "lists replace one another": ({SYSTEM: LISTS, USER: f"[global]\nextra-index-url =\n  {MORE}\n  {OLD}\n"}, {}),
    "variables beat files": ({USER: f"{OF_INSTALL}cert = /a\nproxy = http://old:1\n"}, {"PIP_INDEX_URL": OLD, **PATHS}),
    "old name": ({}, {"PIP_PYPI_URL": MAIN}),
    "empty": ({USER: f"{IS_MAIN}[install]\nindex-url =\n"}, {"PIP_INDEX_URL": ""}),
    "empty file's entry hides another file's": ({SYSTEM: IS_OLD, USER: "[global]\nindex-url =\n"}, {}),
    "switch": ({}, {"PIP_FIND_LINKS": "a /b", **SWITCHES}),
    "switch off": ({USER: "[global]\nno-index = 1\n"}, {"PIP_NO_INDEX": "off"}),
}


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip, to compare with")
def test_index_settings_of_pip_as_pip_finds_them(tmp_path: Path) -> None:
    """Every option that says which index is asked, and how, has the value that `pip install` gives it.

    What is set for `pip download` alone counts, too, with less weight.
    """
    environs = []
    for number, (files, variables) in enumerate(PIP_CASES.values()):
        folder = tmp_path / str(number)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
        changed = {"HOME": "{folder}/home", "PREFIX": "{folder}/prefix", "XDG_CONFIG_DIRS": "{folder}/xdg", **variables}
        environs.append({name: text.format(folder=folder) for name, text in changed.items()})
    words = [sys.executable, "-c", AS_PIP]
    done = subprocess.run(words, input=json.dumps(environs), capture_output=True, text=True, check=True)
    for case, environ, expected in zip(PIP_CASES, environs, json.loads(done.stdout), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", environ["HOME"])
            patch.setattr(sys, "prefix", environ["PREFIX"])
            found = pip_settings(environ)
        lists = ("extra-index-url", "find-links", "trusted-host")
        ours: dict[str, object] = {name: found.get(name, "").split() for name in lists}
        ours |= {name: found.get(name) for name in ("index-url", "client-cert", "proxy")}
        ours |= {"no-index": is_on("no-index", found), "keyring-provider": found.get("keyring-provider", "auto")}
        ours |= {"cert": found.get("cert", "").replace("~", environ["HOME"]) or None}
        if expected["keyring-provider"] is None:  # a pip before 23.1 knows none
            expected["keyring-provider"] = ours["keyring-provider"]
        if expected["index-url"] == public_index():
            expected["index-url"] = None
        assert (case, ours) == (case, expected)


@pytest.mark.parametrize("without", [[], ["pip"], ["pip", "ensurepip"]], ids=["pip", "bundled", "none"])
def test_public_index(without: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is where pip has it, the environment's own or that of Python; without a pip it is nowhere."""
    models = pytest.importorskip("pip._internal.models.index", reason="needs pip, to compare with")
    find = importlib.util.find_spec
    if without and find("ensurepip") is None:
        pytest.skip("this Python brings no pip along")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in without else find(name))
    if "ensurepip" in without:  # Linux distributions keep its wheels in a folder of their own
        monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)
    assert public_index() == ("" if "ensurepip" in without else models.PyPI.simple_url)
