"""What uv is set up with is read as uv reads it, as far as a package index is concerned."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelboot._sources.uv import UvIndexes, unread_files, uv_indexes

MAIN, MORE, OLD = (f"https://example.org/{name}/simple" for name in ("main", "more", "old"))
NEEDS_TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no reader of TOML")


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Return variables that lead uv to no file of this machine's."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "user"), "XDG_CONFIG_DIRS": str(tmp_path / "system")}


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, UvIndexes()),
        ({"UV_DEFAULT_INDEX": MAIN}, UvIndexes(MAIN)),
        ({"UV_DEFAULT_INDEX": f"corp={MAIN}"}, UvIndexes(MAIN)),
        ({"UV_INDEX_URL": OLD}, UvIndexes(OLD)),
        ({"UV_INDEX_URL": OLD, "UV_DEFAULT_INDEX": MAIN}, UvIndexes(MAIN)),
        ({"UV_INDEX": f"{MAIN} more={MORE}"}, UvIndexes("", (MAIN, MORE))),
        ({"UV_INDEX": MORE, "UV_EXTRA_INDEX_URL": f"{OLD} {MORE}"}, UvIndexes("", (MORE, OLD))),
        (
            {
                "UV_DEFAULT_INDEX": f"my-corp={MAIN}",
                "UV_INDEX_MY_CORP_USERNAME": "a@b",
                "UV_INDEX_MY_CORP_PASSWORD": "p/w",
            },
            UvIndexes(MAIN.replace("//", "//a%40b:p%2Fw@")),
        ),
        (
            {"UV_INDEX": f"corp={MAIN.replace('//', '//me:mine@')}", "UV_INDEX_CORP_PASSWORD": "other"},
            UvIndexes("", (MAIN.replace("//", "//me:mine@"),)),
        ),
    ],
    ids=["none", "default", "named", "old name", "new beats old", "several", "both extra", "login", "own login"],
)
def test_uv_indexes_of_variables(nowhere: dict[str, str], variables: Mapping[str, str], found: UvIndexes) -> None:
    """Variables name the index that stands in for the public one, and those asked as well."""
    assert uv_indexes({**nowhere, **variables}) == found


def write(folder: Path, text: str) -> Path:
    """Write uv's file below a configuration folder."""
    (folder / "uv").mkdir(parents=True)
    (folder / "uv" / "uv.toml").write_text(text, "utf-8")
    return folder / "uv" / "uv.toml"


def test_uv_indexes_without_a_reader(nowhere: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Python 3.10, which has no reader of TOML, variables count alone, and the file that does not is known."""
    path = write(tmp_path / "user", f"[[index]]\nurl = '{OLD}'\ndefault = true\n")
    monkeypatch.setattr("modelboot._sources.uv.CAN_READ_TOML", False)
    assert uv_indexes({**nowhere, "UV_DEFAULT_INDEX": MAIN}) == UvIndexes(MAIN)
    assert unread_files(nowhere)[0] == path
    assert unread_files({**nowhere, "UV_NO_CONFIG": "1"}) == []


@NEEDS_TOML
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'index-url = "{MAIN}"\nextra-index-url = ["{MORE}"]', UvIndexes(MAIN, (MORE,))),
        (f'[[index]]\nurl = "{MORE}"\n[[index]]\nname = "a"\nurl = "{MAIN}"\ndefault = true', UvIndexes(MAIN, (MORE,))),
        (f'[[index]]\nname = "torch"\nurl = "{MORE}"\nexplicit = true', UvIndexes()),
        (f'[pip]\nindex-url = "{MAIN}"', UvIndexes(MAIN)),
        ("index = 7\nindex-url = []\nextra-index-url = 1", UvIndexes()),
        ("no [toml", UvIndexes()),
    ],
    ids=["old keys", "tables", "explicit", "pip", "other types", "broken"],
)
def test_uv_indexes_of_a_file(nowhere: dict[str, str], tmp_path: Path, text: str, found: UvIndexes) -> None:
    """The user's uv.toml says it in either form; an index for named packages only is not asked."""
    write(tmp_path / "user", text)
    assert uv_indexes(nowhere) == found


@NEEDS_TOML
def test_uv_indexes_of_several_places(nowhere: dict[str, str], tmp_path: Path) -> None:
    """A variable beats the user's file, and that the system's; those asked as well add up."""
    write(tmp_path / "user", f'index-url = "{OLD}"\nextra-index-url = ["{MORE}"]')
    write(tmp_path / "system", f'index-url = "{MORE}"\nextra-index-url = ["{MAIN}"]')
    assert uv_indexes(nowhere) == UvIndexes(OLD, (MORE, MAIN))
    assert uv_indexes({**nowhere, "UV_DEFAULT_INDEX": MAIN}).default == MAIN


@NEEDS_TOML
def test_uv_indexes_of_a_named_file(nowhere: dict[str, str], tmp_path: Path) -> None:
    """UV_CONFIG_FILE stands in for the files of user and system, and UV_NO_CONFIG switches those off."""
    write(tmp_path / "user", f'index-url = "{OLD}"')
    named = write(tmp_path / "named", f'index-url = "{MAIN}"')
    assert uv_indexes({**nowhere, "UV_CONFIG_FILE": str(named)}) == UvIndexes(MAIN)
    assert uv_indexes({**nowhere, "UV_NO_CONFIG": "1"}) == UvIndexes()
