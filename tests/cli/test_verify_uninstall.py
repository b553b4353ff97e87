"""`modelboot verify` names what is not as it was installed; `modelboot uninstall` removes only what is modelboot's."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import OTHER, owned, public_folder, python, skip_unless_other_user
from support.commands import MAIN, facts, failure, output, reference, run
from support.folders import WORK, names, parts_below, snapshot
from support.sources import publish
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, BuiltWheel, small_wheel

DATA = f"{NAME}/{NAME}-{VERSION}"
PUT_BACK = "`modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back"
AWAY_FIRST = f"move files of your own away first; {PUT_BACK}"
REINSTALL = f"reinstall {NAME} {VERSION} with"
ALTERED, MISSING = f"{DATA}/vocab/strings.json was altered", f"{DATA}/tagger/model is missing"
EXTRA, LINK, NOBODY = f"{DATA}/notes.txt is not", f"{DIST_INFO}/.hidden is not", f"{DIST_INFO}/INSTALLER is missing"


@pytest.fixture
def pin(wheel: BuiltWheel) -> ModelPin:
    """Install a small model and return its pin."""
    ensure_model(wheel.pin)
    return wheel.pin


@pytest.fixture
def older(pin: ModelPin, tmp_path: Path) -> Path:
    """Install an older version, too, which goes to the store, as the newer one stays; return its folder."""
    return ensure_model(small_wheel(tmp_path / pin.name, OLDER).pin).path.parents[1]


def content(folder: Path) -> list[str]:
    """List what is in a folder but for modelboot's own work folder."""
    return [name for name in names(folder) if name != WORK]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "altered": lambda target: (target / DATA / "vocab/strings.json").write_bytes(b"?" * 9),  # as many as before
    "missing": lambda target: (target / DATA / "tagger/model").unlink(),  # before it in RECORD
    "extra": lambda target: (target / DATA / "notes.txt").write_text("mine\n"),
    "link": lambda target: (target / DIST_INFO / ".hidden").symlink_to("nowhere"),
    "pip": lambda target: (target / DIST_INFO / "INSTALLER").write_text("pip\n"),  # as if pip had installed it
    "nobody": lambda target: (target / DIST_INFO / "INSTALLER").unlink(),
    "bytecode": lambda target: (target / NAME / "__pycache__").mkdir(),  # which Python writes at an import
}


def damage(target: Path, kinds: str) -> None:
    """Do these things to an installed model."""
    for kind in kinds.split():
        DAMAGES[kind](target)
    for folder in target.rglob("__pycache__"):
        (folder / "__init__.cpython-311.pyc").write_bytes(b"")


# --- verify


@pytest.mark.parametrize("name", [NAME, NAME.replace("_", "-"), f"{NAME}=={VERSION}"])
def test_verify_of_an_intact_model_succeeds(name: str, pin: ModelPin, target: Path) -> None:
    """An intact model: status 0, one line, nothing on stderr; bytecode is no extra file, a hyphen no other name."""
    damage(target, "bytecode")
    assert run("verify", name) == (0, f"{pin}  intact  {target}\n", "")


@pytest.mark.parametrize(
    ("damages", "issues", "hint"),
    [
        ("altered", [ALTERED], PUT_BACK),
        ("link", [LINK], AWAY_FIRST),
        ("altered missing extra", [MISSING, ALTERED, EXTRA], AWAY_FIRST),
        ("pip missing extra", [f"{DIST_INFO}/INSTALLER has", MISSING, EXTRA], f"{REINSTALL} pip"),
        ("nobody", [NOBODY], f"{REINSTALL} the program that installed it"),
    ],
)
@pytest.mark.usefixtures("pin")
def test_verify_names_what_is_not_as_installed(damages: str, issues: list[str], hint: str, target: Path) -> None:
    """Status 1, each such file once by name, what puts it right, and the same as JSON; nothing is changed.

    `uninstall` is named only where it would do something: not for files or models of others.
    """
    damage(target, damages)
    before = snapshot(target)
    status, out, err = run("verify", NAME)
    title, *told = out.splitlines()
    assert (status, title) == (1, f"{NAME} {VERSION}  not intact  {target}")
    assert [line.startswith(f"  {issue}") for line, issue in zip(told, issues, strict=True)] == [True] * len(issues)
    assert err == f"error: not intact: {NAME} {VERSION}\nhint: {hint}\n"
    assert snapshot(target) == before
    (model,) = json.loads(run("verify", "--json").out)
    assert [f"  {issue}" for issue in model["issues"]] == told
    assert (model["name"], model["state"], model["intact"]) == (NAME, "not intact", False)


def test_verify_checks_all_that_is_installed(pin: ModelPin, older: Path, target: Path) -> None:
    """All models by default, those of the store too; a damaged one is enough for status 1, and each has its remedy."""
    assert output("verify") == f"{NAME} {OLDER}  intact  {older}\n{pin}  intact  {target}\n"
    (older / NAME / "meta.json").unlink()
    status, out, err = run("verify")
    assert (status, f"{pin}  intact      {target}\n" in out) == (1, True)
    assert f"error: not intact: {NAME} {OLDER}\n" in err
    damage(target, "nobody")
    assert run("verify").err.endswith(f"\nhint: {PUT_BACK}; {REINSTALL} the program that installed it\n")


def test_verify_asks_the_pins_file_first(wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel is compared with the pin of a reference, else of the pins file, else of the catalog."""
    other = small_wheel(tmp_path / "catalog", weight_bytes=900)
    publish(monkeypatch, tmp_path / "mirror", other)
    pins = tmp_path / "pins.txt"
    monkeypatch.setenv("MODELBOOT_PINS", str(pins))
    nameless = Path(shutil.copy(wheel.path, tmp_path / "model.bin")).as_uri()
    own, others = reference(wheel.pin), reference(other.pin)
    for line in (own, own.replace(wheel.url, nameless)):
        pins.write_text(line)
        ensure_model(NAME)
        output("verify")
    for words, line, by in (([], others, "pins file"), ([], "# none", "catalog"), ([others], own, "reference")):
        pins.write_text(line)
        status, out, _ = run("verify", *words)
        assert (status, f"sha256 {wheel.sha256}, the {by} pins {other.sha256}\n" in out) == (1, True)
    pins.write_text(others)
    output("verify", own)


# --- uninstall


@pytest.mark.parametrize("damages", ["bytecode", "altered missing"])
def test_uninstall_removes_all_that_was_installed(damages: str, pin: ModelPin, target: Path) -> None:
    """What is left of package and dist-info goes, bytecode with it; a neighbour stays; it can be installed again."""
    (target / "neighbour").mkdir()
    damage(target, damages)
    assert output("uninstall", pin.name.replace("_", "-")) == f"{pin}  removed  {target}\n"
    assert (content(target), parts_below(target)) == (["neighbour"], [])
    assert ensure_model(pin).source == "release"


def test_uninstall_json(pin: ModelPin, target: Path) -> None:
    """--json has what was removed, as it was before, and from where; a model that is named twice is one model."""
    (model,) = facts("uninstall", NAME, f"{NAME}=={VERSION}")
    assert (model["name"], model["version"], model["folder"]) == (NAME, VERSION, str(target))
    assert (model["installer"], model["intact"], model["sha256"]) == ("modelboot", True, pin.sha256)
    assert content(target) == []


def test_uninstall_removes_copies_of_the_store(pin: ModelPin, older: Path, target: Path, tmp_path: Path) -> None:
    """A version that is named goes with its folder in the store; without a version every copy goes."""
    before = snapshot(target / NAME)
    output("uninstall", f"{NAME}=={OLDER}")
    assert content(older.parent) == []
    assert snapshot(target / NAME) == before
    ensure_model(small_wheel(tmp_path / "again", OLDER).pin)
    output("uninstall", pin.name)
    assert content(target) == content(older.parent) == []


def test_uninstall_reaches_its_own_copy_beside_that_of_pip(pin: ModelPin, older: Path, target: Path) -> None:
    """Another program's version stays, and that is said; modelboot's own in the store goes."""
    damage(target, "pip")
    before = snapshot(target)
    told = f"info: {pin} is left in {target}: pip installed it\n"
    assert run("uninstall", NAME) == (0, f"{NAME} {OLDER}  removed  {older}\n", told)
    assert snapshot(target) == before
    assert content(older.parent) == []


@pytest.mark.parametrize("line", ["../victim", "../../victim", "/victim", "neighbour/file", "../victim/../victim"])
def test_uninstall_follows_no_path_out_of_the_model(line: str, pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A RECORD that was planted to name files elsewhere harms none of them."""
    victim = tmp_path / "victim" if ".." in line else target / "neighbour" / "file"
    victim.parent.mkdir(exist_ok=True)
    victim.write_bytes(b"mine\n")
    with (target / DIST_INFO / "RECORD").open("a") as record:
        record.write(f"{victim if line.startswith('/') else line},sha256=x,5\n")
    run("uninstall", pin.name)
    assert victim.read_bytes() == b"mine\n"


def test_uninstall_does_not_follow_a_link_out_of_the_model(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A package that was replaced by a link elsewhere: what it leads to stays."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(target / NAME, elsewhere)
    (target / NAME).symlink_to(elsewhere)
    before = snapshot(elsewhere)
    run("uninstall", pin.name)
    assert snapshot(elsewhere) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("pip", "pip installed it"),
        ("nobody", "another program installed it"),
        ("extra", f"RECORD does not list {DATA}/notes.txt"),
    ],
)
def test_uninstall_refuses_what_is_not_modelboot_s(change: str, reason: str, pin: ModelPin, target: Path) -> None:
    """Another program's model, or one with a user's own file in it, stays as it is: status 1 and the reason."""
    damage(target, change)
    before = snapshot(target)
    error, hint = failure("uninstall", NAME)
    assert (error, hint[:6]) == (f"error: could not uninstall {pin}: {target}: {reason}", "hint: ")
    assert snapshot(target) == before


@pytest.mark.parametrize("command", ["verify", "uninstall"])
@pytest.mark.parametrize(
    "name", ["en_none", f"{NAME}=={OLDER}", f"{NAME} @ https://host/x#sha256={'a' * 64}", f"{NAME}=="]
)
@pytest.mark.usefixtures("pin")
def test_model_that_is_not_installed(command: str, name: str, target: Path) -> None:
    """Status 1 and an error that says so; nothing is removed, not even what was named before it."""
    before = snapshot(target)
    error, _ = failure(command, NAME, name)
    # Without its version, as a variable that is not set leaves it, it does not mean every version.
    assert "only == is supported" in error if name.endswith("==") else error == f"error: {name} is not installed"
    assert snapshot(target) == before


def test_verify_and_uninstall_as_another_user() -> None:
    """What a user may not remove stays, what may not be read is not called altered: status 1, an error names it."""
    skip_unless_other_user()
    with public_folder() as folder:
        target, home = folder / "target", owned(folder / "home", OTHER)
        ensure_model(small_wheel(folder / "wheel").pin, target=target)
        before = snapshot(target)
        env = {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(home)}
        done = python(MAIN, "uninstall", NAME, user=OTHER, env=env)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: could not uninstall {NAME} {VERSION}: {target}")
        assert "Permission denied" in done.stderr
        assert snapshot(target) == before
        file = target / DATA / "config.cfg"
        file.chmod(0o600)
        done = python(MAIN, "verify", NAME, user=OTHER, env=env)
        assert (done.returncode, "altered" in done.stdout) == (1, False)
        assert re.fullmatch(f"error: .*{re.escape(str(file))}.*\nhint: .+\n", done.stderr)
