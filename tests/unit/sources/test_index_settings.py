"""Which package indexes uv is set up with: read as uv reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelboot._sources.uv import unread_files, uv_indexes

MAIN, MORE, OLD = (f"https://example.org/{name}/simple" for name in ("main", "more", "old"))
WITH_LOGIN = MORE.replace("//", "//me:mine@")
NEEDS_TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no reader of TOML")
Found = tuple[str, list[str]]
"""The index that stands in for the public one, and those asked as well."""


def found(environ: Mapping[str, str], folder: Path, **files: str) -> Found:
    """Return what is found of these variables, and of uv.toml of the user, of the system and of one that is named."""
    for place, text in files.items():
        (folder / place / "uv").mkdir(parents=True)
        (folder / place / "uv" / "uv.toml").write_text(text, "utf-8")
    places = {"XDG_CONFIG_HOME": str(folder / "user"), "XDG_CONFIG_DIRS": str(folder / "system")}
    indexes = uv_indexes({**places, **environ})
    return indexes.default, [*indexes.extra]


@pytest.mark.parametrize(
    ("variables", "indexes"),
    [
        ({}, ("", [])),
        ({"UV_DEFAULT_INDEX": MAIN}, (MAIN, [])),
        ({"UV_DEFAULT_INDEX": f"corp={MAIN}"}, (MAIN, [])),
        ({"UV_INDEX_URL": OLD}, (OLD, [])),
        ({"UV_INDEX_URL": OLD, "UV_DEFAULT_INDEX": MAIN}, (MAIN, [])),
        ({"UV_INDEX": f"{MAIN} more={MORE}"}, ("", [MAIN, MORE])),
        ({"UV_INDEX": MORE, "UV_EXTRA_INDEX_URL": f"{OLD} {MORE}"}, ("", [MORE, OLD])),
        (
            {
                "UV_DEFAULT_INDEX": f"my-corp={MAIN}",
                "UV_INDEX_MY_CORP_USERNAME": "a@b",
                "UV_INDEX_MY_CORP_PASSWORD": "p/w",
            },
            (MAIN.replace("//", "//a%40b:p%2Fw@"), []),
        ),
        ({"UV_INDEX": f"corp={WITH_LOGIN}", "UV_INDEX_CORP_PASSWORD": "other"}, ("", [WITH_LOGIN])),
    ],
    ids=["none", "default", "named", "old name", "new beats old", "several", "both extra", "login", "own login"],
)
def test_index_settings_of_variables(variables: Mapping[str, str], indexes: Found, tmp_path: Path) -> None:
    """Variables name the index that stands in for the public one, and those asked as well."""
    assert found(variables, tmp_path) == indexes


@NEEDS_TOML
@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        (f'index-url = "{MAIN}"\nextra-index-url = ["{MORE}"]', (MAIN, [MORE])),
        (f'[[index]]\nurl = "{MORE}"\n[[index]]\nname = "a"\nurl = "{MAIN}"\ndefault = true', (MAIN, [MORE])),
        (f'[[index]]\nname = "torch"\nurl = "{MORE}"\nexplicit = true', ("", [])),
        (f'[pip]\nindex-url = "{MAIN}"', (MAIN, [])),
        ("index = 7\nindex-url = []\nextra-index-url = 1", ("", [])),
        ("no [toml", ("", [])),
    ],
    ids=["old keys", "tables", "explicit", "pip", "other types", "broken"],
)
def test_index_settings_of_a_file(text: str, indexes: Found, tmp_path: Path) -> None:
    """The user's uv.toml says it in either form; an index for named packages only is not asked."""
    assert found({}, tmp_path, user=text) == indexes


@NEEDS_TOML
@pytest.mark.parametrize(
    ("variables", "indexes"),
    [
        ({}, (OLD, [MORE, MAIN])),
        ({"UV_DEFAULT_INDEX": MAIN}, (MAIN, [MORE, MAIN])),
        ({"UV_CONFIG_FILE": "{folder}/named/uv/uv.toml"}, ("named", [])),
        ({"UV_NO_CONFIG": "1"}, ("", [])),
    ],
    ids=["both files", "variable", "named file", "no file"],
)
def test_index_settings_of_several_places(variables: dict[str, str], indexes: Found, tmp_path: Path) -> None:
    """A variable beats the user's file, and that the system's; those asked as well add up."""
    files = {
        "user": f'index-url = "{OLD}"\nextra-index-url = ["{MORE}"]',
        "system": f'index-url = "{MORE}"\nextra-index-url = ["{MAIN}"]',
        "named": 'index-url = "named"',
    }
    variables = {name: value.format(folder=tmp_path) for name, value in variables.items()}
    assert found(variables, tmp_path, **files) == indexes


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="since Python 3.11 there is a reader of TOML")
def test_index_settings_without_a_reader(tmp_path: Path) -> None:
    """On Python 3.10, which has no reader of TOML, variables count alone, and the file that does not is known."""
    assert found({"UV_DEFAULT_INDEX": MAIN}, tmp_path, user=f'index-url = "{OLD}"') == (MAIN, [])
    assert unread_files({"XDG_CONFIG_HOME": str(tmp_path / "user")})[0] == tmp_path / "user" / "uv" / "uv.toml"
