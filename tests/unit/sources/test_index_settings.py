"""Which package indexes uv is set up with: read as uv reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelboot._sources.uv import unread_files, uv_indexes

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
    found = uv_indexes({name: value.replace("FOLDER", str(tmp_path)) for name, value in environ.items()})
    assert (found.default, [*found.extra]) == indexes


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="since Python 3.11 there is a reader of TOML")
def test_index_settings_without_a_reader(tmp_path: Path) -> None:
    """On Python 3.10, which has no reader of TOML, variables count alone, and the file that does not is known."""
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(BOTH_KEYS, "utf-8")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere"}
    assert uv_indexes({**environ, "UV_DEFAULT_INDEX": MAIN}).default == MAIN
    assert unread_files(environ)[0] == tmp_path / "uv" / "uv.toml"
