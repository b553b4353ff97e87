"""Which target a new model goes to, and what is left of it when the install fails."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Container
from pathlib import Path

import pytest

from modelboot import ModelPin
from modelboot._install.prepare import is_writable, prepared_target
from modelboot._install.target import WORK, Store, Target, targets_to_install_into, targets_to_search
from modelboot._settings import Settings
from modelboot.errors import InstallError
from support.children import run_as_other_user

PIN = ModelPin("en_acme_sm", "1.2.0", "0123456789abcdef" * 4)
STORE_NAME = "en_acme_sm-1.2.0-0123456789ab"
IS_WRITABLE = """
import sys
from pathlib import Path
from modelboot._install.prepare import is_writable
from modelboot._install.target import Target
print(is_writable(Target("target", Path(sys.argv[1]))))
"""


@pytest.fixture
def free(settings: Settings) -> Settings:
    """Return settings without a target."""
    return settings._replace(target=None, home=Path("/home"))


@pytest.fixture
def managed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Be an interpreter outside of a virtual environment, whose folder has the marker; return the environment."""
    (tmp_path / "lib" / "EXTERNALLY-MANAGED").parent.mkdir()
    (tmp_path / "lib" / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sysconfig, "get_path", {"stdlib": f"{tmp_path}/lib", "purelib": f"{tmp_path}/packages"}.get)
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path / "user"))
    monkeypatch.delenv("PIP_BREAK_SYSTEM_PACKAGES", raising=False)
    return tmp_path / "packages"


@pytest.mark.parametrize("switch", ["", "0", "False", "n", "f", "OFF"])
def test_externally_managed_environment_is_left_alone(  # noqa: PLR0913, PLR0917 - fixtures
    free: Settings,
    managed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    switch: str,
) -> None:
    """As for pip, environment and user site are the system's (PEP 668): the store is taken, and one line says so."""
    monkeypatch.setenv("PIP_BREAK_SYSTEM_PACKAGES", switch)
    settings = free._replace(home=tmp_path / "home")
    targets = list(targets_to_install_into(PIN, settings))
    with caplog.at_level("INFO"), prepared_target(PIN, targets, foreign=(), has_home=True) as target:
        assert target.label == "store"
    assert caplog.text.count("this Python is externally managed (PEP 668)") == 2
    assert len(caplog.records) == 1
    assert not managed.exists()
    assert next(targets_to_search(PIN, settings)).folder == managed  # what is there already is used


def test_externally_managed_environment_and_no_store(free: Settings, managed: Path) -> None:
    """Where nothing else is left the error says why."""
    targets = list(targets_to_install_into(PIN, free._replace(home=None)))
    with (
        pytest.raises(InstallError, match="externally managed"),
        prepared_target(PIN, targets, foreign=(), has_home=False),
    ):
        pass
    assert not managed.exists()


@pytest.mark.parametrize("change", ["1", "yes", "TRUE", "venv", "no marker"])
def test_environment_that_may_be_changed(
    monkeypatch: pytest.MonkeyPatch, free: Settings, managed: Path, tmp_path: Path, change: str
) -> None:
    """The switch PIP_BREAK_SYSTEM_PACKAGES, a virtual environment or no marker: the environment is taken."""
    if change == "venv":
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
    elif change == "no marker":
        (tmp_path / "lib" / "EXTERNALLY-MANAGED").unlink()
    else:
        monkeypatch.setenv("PIP_BREAK_SYSTEM_PACKAGES", change)
    targets = list(targets_to_install_into(PIN, free))
    with prepared_target(PIN, targets, foreign=(), has_home=True) as target:
        assert (target.label, target.folder) == ("environment", managed)


@pytest.mark.parametrize("below", ["", "a", "a/b/c"], ids=["there", "missing", "deep"])
def test_is_writable_true(tmp_path: Path, below: str) -> None:
    """A folder is writable when it is, or when it could be made; nothing is made to find out."""
    assert is_writable(Target("target", tmp_path / below))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("below", ["", "a/b"], ids=["itself", "above"])
def test_is_writable_file_in_the_way(tmp_path: Path, below: str) -> None:
    """Where a file stands in the way no folder can be made."""
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o755)
    assert not is_writable(Target("target", file / below))


@pytest.mark.parametrize(
    ("mode", "below", "answer"),
    [
        (0o777, "", "True"),
        (0o777, "a/b", "True"),
        (0o755, "", "False"),
        (0o755, "a/b", "False"),
        (0o776, "", "False"),
        (0o700, "a/b", "False"),
    ],
    ids=["open", "below-open", "read-only", "below-read-only", "no-entry", "below-closed"],
)
def test_is_writable_by_another_user(reachable: Path, mode: int, below: str, answer: str) -> None:
    """Permissions decide, also those of a folder one may not even look into."""
    folder = reachable / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert run_as_other_user(IS_WRITABLE, folder / below) == answer


def test_is_writable_work_folder_alone(reachable: Path) -> None:
    """A work folder from better times does not make a read-only folder writable."""
    work = reachable / WORK
    work.mkdir()
    work.chmod(0o777)
    assert run_as_other_user(IS_WRITABLE, reachable) == "False"


def refusal_of(targets: list[Target], *, foreign: Container[Target] = (), has_home: bool = True) -> InstallError:
    """Ask for a target where none can be had."""
    preparing = prepared_target(PIN, targets, foreign=foreign, has_home=has_home)
    with pytest.raises(InstallError) as refused, preparing:
        pass
    return refused.value


def fail_after_a_lock(target: Target, message: str) -> None:
    """Make the lock file, as an install does, and fail."""
    (target.work / "en_acme_sm.lock").touch()
    raise RuntimeError(message)


def test_prepared_target_first_of_use(tmp_path: Path) -> None:
    """A target that holds somebody else's model and one that cannot be made are passed over; only one is made."""
    (tmp_path / "file").touch()
    foreign, blocked = Target("environment", tmp_path / "foreign"), Target("user site", tmp_path / "file" / "below")
    store, other = Store("store", tmp_path / "home" / STORE_NAME), Target("sys.path", tmp_path / "other")
    with prepared_target(PIN, [foreign, blocked, store, other], foreign=[foreign], has_home=True) as chosen:
        assert chosen == store
        assert store.work.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home"]


def test_prepared_target_failure_removes_what_was_made(tmp_path: Path) -> None:
    """When what follows fails, the folders made for it are gone again, the lock file with them."""
    target, message = Target("environment", tmp_path / "a" / "b"), "unpacking failed"
    preparing = prepared_target(PIN, [target], foreign=(), has_home=True)
    with pytest.raises(RuntimeError, match=message), preparing:
        fail_after_a_lock(target, message)
    assert list(tmp_path.iterdir()) == []


def test_prepared_target_none(tmp_path: Path) -> None:
    """Where there is no target, each is named with its reason, in order, and nothing is made."""
    (tmp_path / "file").touch()
    foreign, blocked = Target("environment", tmp_path / "foreign"), Target("user site", tmp_path / "file")
    refused = refusal_of([blocked, foreign], foreign=[foreign])
    user = f"user {os.getuid()} may not write there"
    assert (refused.fault, refused.path, refused.model) == ("permissions", str(blocked.folder), str(PIN))
    assert refused.reason.split("; ") == [
        f"{blocked.folder} (user site): {user}",
        f"{foreign.folder} (environment) has one that modelboot may not replace or read",
    ]
    assert os.listdir(tmp_path) == ["file"]


def test_prepared_target_none_without_home(tmp_path: Path) -> None:
    """A user without a store is told why there is none."""
    (tmp_path / "file").touch()
    reason = refusal_of([Target("environment", tmp_path / "file")], has_home=False).reason
    assert reason.endswith("; MODELBOOT_HOME is not set and this user has no home folder")


def test_work_folder_that_another_process_removes_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A work folder that vanishes between two looks, as the last process there removes it, can be made again."""
    target = Target("store", tmp_path / "store")
    target.work.mkdir(parents=True)
    is_folder = os.path.isdir

    def after_removal(path: Path) -> bool:
        if path == target.work and target.work.exists():
            target.work.rmdir()
        return is_folder(path)

    monkeypatch.setattr(os.path, "isdir", after_removal)
    assert is_writable(target)
    assert not target.work.exists()
