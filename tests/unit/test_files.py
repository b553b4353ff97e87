"""Renames wait for scanners."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelboot import _files
from modelboot._files import rename


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with something in it."""
    (tmp_path / "tree" / "folder").mkdir(parents=True)
    return tmp_path / "tree"


def in_use(winerror: int) -> PermissionError:
    """Return what Windows raises while a virus scanner reads what was just written."""
    error = PermissionError(errno.EACCES, "The process cannot access the file")
    error.winerror = winerror  # type: ignore[attr-defined]  # there is one on Windows only
    return error


@pytest.fixture(params=["rename", "replace"])
def refusals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """Return a list of errors, which is empty: what a test puts there is raised by the next renames, one each."""
    errors: list[OSError] = []
    real = getattr(os, request.param)

    def change(source: Path, destination: Path) -> None:
        if errors:
            raise errors.pop(0)
        real(source, destination)

    monkeypatch.setattr(os, request.param, change)
    monkeypatch.setattr(_files, "_PAUSES_S", (0.001,) * 3)
    return errors


@pytest.fixture
def replacing(request: pytest.FixtureRequest) -> bool:
    """Tell which of the two is asked for."""
    return bool(request.node.callspec.params["refusals"] == "replace")


def test_rename_waits_for_scanners(refusals: list[OSError], tree: Path, *, replacing: bool) -> None:
    """While a program has the file open it is tried again, and then done."""
    refusals += [in_use(32), in_use(5), in_use(32)]
    rename(tree, tree.with_name("new"), replacing=replacing)
    assert not tree.exists()
    assert tree.with_name("new").is_dir()
    assert refusals == []


def test_rename_waits_for_ever_for_nobody(refusals: list[OSError], tree: Path, *, replacing: bool) -> None:
    """A file that stays open ends in the system's own error, and nothing has moved."""
    refusals += [in_use(32)] * 9
    with pytest.raises(PermissionError, match="cannot access"):
        rename(tree, tree.with_name("new"), replacing=replacing)
    assert len(refusals) == 9 - 4
    assert tree.is_dir()


@pytest.mark.parametrize("refusal", [PermissionError(errno.EACCES, "no"), FileExistsError(errno.EEXIST, "there")])
def test_rename_refused_for_good(refusals: list[OSError], tree: Path, refusal: OSError, *, replacing: bool) -> None:
    """No other failure is tried again: permission does not come by waiting."""
    refusals += [refusal] * 2
    with pytest.raises(type(refusal)):
        rename(tree, tree.with_name("new"), replacing=replacing)
    assert refusals == [refusal]


def test_rename_gives_scanners_seconds() -> None:
    """They are given about five seconds: uv gives them ten, others three."""
    assert sum(_files._PAUSES_S) == pytest.approx(5, abs=0.2)  # noqa: SLF001 - a figure that is documented
