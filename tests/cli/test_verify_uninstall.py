"""`modelboot verify` names what is not as it was installed; `modelboot uninstall` removes only what is modelboot's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import OTHER, owned, public_folder, python, skip_unless_other_user
from support.folders import names, snapshot
from support.sources import publish
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, BuiltWheel, build_wheel, small_wheel

DATA = f"{NAME}/{NAME}-{VERSION}"


@pytest.fixture
def pin(tmp_path: Path, target: Path) -> ModelPin:
    """Install a small model and return its pin."""
    small = small_wheel(tmp_path / "wheel").pin
    ensure_model(small, target=target)
    return small


def altered(target: Path) -> None:
    """Give a file as many other bytes."""
    file = target / DATA / "tagger/model"
    file.write_bytes(b"?" * file.stat().st_size)


def missing(target: Path) -> None:
    """Remove a file."""
    (target / DATA / "vocab/strings.json").unlink()


def longer(target: Path) -> None:
    """Add to a file."""
    with (target / DATA / "config.cfg").open("a") as file:
        file.write("#\n")


def extra(target: Path) -> None:
    """Put a file where none was."""
    (target / DATA / "notes.txt").write_text("mine\n")


def hidden_extra(target: Path) -> None:
    """Put a link where nothing was."""
    (target / DIST_INFO / ".hidden").symlink_to("nowhere")


ISSUES: dict[str, tuple[Callable[[Path], None], str]] = {
    "altered": (altered, f"{DATA}/tagger/model was altered"),
    "missing": (missing, f"{DATA}/vocab/strings.json is missing"),
    "longer": (longer, f"{DATA}/config.cfg has "),
    "extra": (extra, f"{DATA}/notes.txt is not in RECORD"),
    "extra link": (hidden_extra, f"{DIST_INFO}/.hidden is not in RECORD"),
}


# --- verify


def test_verify_of_an_intact_model_succeeds(pin: ModelPin, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An intact model: status 0, one line, nothing on stderr, and bytecode is no extra file."""
    (target / NAME / "__pycache__").mkdir()
    (target / NAME / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    assert main(["verify", pin.name]) == 0
    out, err = capsys.readouterr()
    assert out == f"{pin}  intact  {target}\n"
    assert err == ""


@pytest.mark.parametrize(("damage", "issue"), ISSUES.values(), ids=ISSUES)
@pytest.mark.usefixtures("pin")
def test_verify_names_each_file_that_is_not_as_installed(
    damage: Callable[[Path], None], issue: str, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An altered, missing or extra file: status 1, the file by name, an error and a hint; nothing is changed."""
    damage(target)
    before = snapshot(target)
    assert main(["verify", NAME]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{NAME} {VERSION}  ")
    assert f"\n  {issue}" in out
    assert err.startswith(f"error: not intact: {NAME} {VERSION}\nhint: ")
    assert snapshot(target) == before


@pytest.mark.usefixtures("pin")
def test_verify_names_all_issues_at_once(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three kinds of damage at once are three lines, none twice."""
    for damage in (altered, missing, extra):
        damage(target)
    assert main(["verify"]) == 1
    title, *issues = capsys.readouterr().out.splitlines()
    assert title == f"{NAME} {VERSION}  not intact  {target}"
    assert sorted(issues) == sorted(f"  {ISSUES[kind][1]}" for kind in ("altered", "missing", "extra"))


@pytest.mark.usefixtures("pin")
def test_verify_counts_a_file_once(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of another size, which has other bytes, too, is one issue."""
    longer(target)
    assert main(["verify"]) == 1
    _, *issues = capsys.readouterr().out.splitlines()
    assert len(issues) == 1


@pytest.mark.usefixtures("pin")
def test_verify_json_is_for_programs(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json: the facts and the issues of each model, and the same exit status."""
    missing(target)
    assert main(["verify", "--json", NAME]) == 1
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["issues"] == [f"{DATA}/vocab/strings.json is missing"]
    assert (facts["name"], facts["state"], facts["intact"]) == (NAME, "not intact", False)
    assert (facts["installer"], facts["folder"]) == ("modelboot", str(target))


@pytest.mark.parametrize(("damage", "is_first"), [(extra, True), (missing, False)], ids=["extra", "missing"])
@pytest.mark.usefixtures("pin")
def test_verify_says_what_to_do_with_own_files(
    damage: Callable[[Path], None], target: Path, capsys: pytest.CaptureFixture[str], *, is_first: bool
) -> None:
    """Where a file is not modelboot's, `uninstall` removes nothing: the hint has that file moved away first."""
    damage(target)
    main(["verify"])
    assert ("hint: move files of your own away first; `modelboot uninstall" in capsys.readouterr().err) is is_first


@pytest.mark.usefixtures("pin")
def test_verify_sends_nobody_to_uninstall_what_pip_installed(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged copy of pip's is pip's to put back: `modelboot uninstall` would refuse, whatever else is in there."""
    (target / DIST_INFO / "INSTALLER").write_text("pip\n")
    missing(target)
    extra(target)
    assert main(["verify"]) == 1
    assert capsys.readouterr().err.endswith(f"\nhint: reinstall {NAME} {VERSION} with pip\n")


def test_verify_says_what_to_do_with_each_copy(
    pin: ModelPin, tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two damaged copies one is modelboot's and one nobody's: each has its own remedy."""
    ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    (target / DIST_INFO / "INSTALLER").unlink()
    (_store(tmp_path) / NAME / "meta.json").unlink()
    assert main(["verify", pin.name]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "hint: `modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back; "
        f"reinstall {NAME} {VERSION} with the program that installed it"
    )


def test_verify_asks_the_pins_file_first(
    wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose wheel the pins file pins is intact, though the catalog pins another of that name and version."""
    other = small_wheel(tmp_path / "catalog", weight_bytes=900)
    publish(monkeypatch, tmp_path / "mirror", other)
    pins = tmp_path / "pins.txt"
    monkeypatch.setenv("MODELBOOT_PINS", str(pins))
    nameless = shutil.copy(wheel.path, tmp_path / "model.bin")
    for url in (wheel.url, Path(nameless).as_uri()):
        pins.write_text(f"{NAME} @ {url}#sha256={wheel.sha256}\n")
        ensure_model(NAME)
        assert main(["verify"]) == 0, capsys.readouterr().out
    pins.write_text(f"{NAME} @ {other.url}#sha256={other.sha256}\n")
    capsys.readouterr()
    assert main(["verify"]) == 1
    assert f"sha256 {wheel.sha256}, the pins file pins {other.sha256}\n" in capsys.readouterr().out
    pins.write_text("# none\n")
    assert main(["verify"]) == 1
    assert f"sha256 {wheel.sha256}, the catalog pins {other.sha256}\n" in capsys.readouterr().out


def test_verify_compares_with_the_reference_it_is_given(
    wheel: BuiltWheel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A direct reference is a pin: the installed model is compared with its hash, whatever the catalog says."""
    other = small_wheel(tmp_path / "other", weight_bytes=900)
    ensure_model(f"{NAME} @ {wheel.url}#sha256={wheel.sha256}")
    assert main(["verify", f"{NAME} @ {wheel.url}#sha256={wheel.sha256}"]) == 0, capsys.readouterr().out
    capsys.readouterr()
    assert main(["verify", f"{NAME} @ {other.url}#sha256={other.sha256}"]) == 1
    assert f"sha256 {wheel.sha256}, the reference pins {other.sha256}\n" in capsys.readouterr().out


def test_verify_without_a_name_checks_all_that_is_installed(
    pin: ModelPin, tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All models by default, those of the store too; one damaged one is enough for status 1."""
    other = small_wheel(tmp_path / "old", OLDER)
    ensure_model(other.pin)  # the newer one stays: it goes to the store
    assert main(["verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{NAME} {OLDER}  intact  {_store(tmp_path)}", f"{pin}  intact  {target}"]
    (_store(tmp_path) / NAME / "meta.json").unlink()
    assert main(["verify"]) == 1
    out, err = capsys.readouterr()
    assert f"{pin}  intact      {target}\n" in out
    assert f"error: not intact: {NAME} {OLDER}\n" in err


def _store(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "home").glob(f"{NAME}-*")
    return folder


@pytest.mark.parametrize(
    ("name", "status"), [(f"{NAME}=={VERSION}", 0), (f"{NAME}=={OLDER}", 1), ("en_nothing_sm", 1)], ids=str
)
@pytest.mark.usefixtures("pin")
def test_verify_of_a_name_and_version(name: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A version narrows it down; what is not installed is an error that says so."""
    assert main(["verify", name]) == status
    assert (f"error: {name} is not installed\nhint: " in capsys.readouterr().err) == bool(status)


def test_verify_with_nothing_installed_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing installed is nothing wrong."""
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.startswith("no models are installed")


def test_verify_of_a_file_that_may_not_be_read_is_no_alteration() -> None:
    """A file that another user may not read: status 1, and an error that names it instead of calling it altered."""
    skip_unless_other_user()
    with public_folder() as folder:
        pin = small_wheel(folder / "wheel").pin
        ensure_model(pin, target=folder / "target")
        file = folder / "target" / DATA / "config.cfg"
        file.chmod(0o600)
        script = "import sys; from modelboot.cli import main; sys.exit(main(['verify', sys.argv[1]]))"
        done = python(script, NAME, user=OTHER, env={"MODELBOOT_TARGET": str(folder / "target")})
    assert done.returncode == 1
    assert "altered" not in done.stdout
    assert done.stderr.startswith("error: ")
    assert str(file) in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


# --- uninstall


def test_uninstall_removes_all_that_was_installed(
    pin: ModelPin, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Package and dist-info go, bytecode with them; a neighbour stays, and so does nothing of the stage."""
    (target / "neighbour").mkdir()
    (target / NAME / "__pycache__").mkdir()
    (target / NAME / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    assert main(["uninstall", pin.name]) == 0
    assert capsys.readouterr().out == f"{pin}  removed  {target}\n"
    assert names(target) == [".modelboot", "neighbour"]
    assert names(target / ".modelboot") == [f"{NAME}.lock"]
    assert ensure_model(pin).source == "release"


@pytest.mark.usefixtures("pin")
def test_uninstall_takes_the_spellings_that_install_takes(target: Path) -> None:
    """A name with hyphens, as on a package index, means the model with underscores."""
    assert main(["verify", NAME.replace("_", "-")]) == 0
    assert main(["uninstall", NAME.replace("_", "-")]) == 0
    assert not (target / NAME).exists()


@pytest.mark.usefixtures("pin")
def test_uninstall_json_is_for_programs(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json: what was removed, as it was before, and from where."""
    assert main(["uninstall", "--json", f"{NAME}=={VERSION}"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["version"], facts["folder"]) == (NAME, VERSION, str(target))
    assert (facts["installer"], facts["intact"], len(facts["sha256"])) == ("modelboot", True, 64)
    assert not (target / NAME).exists()


@pytest.mark.usefixtures("pin")
def test_uninstall_of_a_name_given_twice_removes_it_once(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same model named twice is one model."""
    assert main(["uninstall", NAME, f"{NAME}=={VERSION}"]) == 0
    assert capsys.readouterr().out == f"{NAME} {VERSION}  removed  {target}\n"


@pytest.mark.usefixtures("pin")
def test_uninstall_of_a_damaged_model_removes_what_is_left(target: Path) -> None:
    """A model with files missing or altered can be removed as well."""
    altered(target)
    missing(target)
    assert main(["uninstall", NAME]) == 0
    assert names(target) == [".modelboot"]


def test_uninstall_removes_store_copies(pin: ModelPin, tmp_path: Path, target: Path) -> None:
    """A copy in the store goes with its folder; the target's other version stays."""
    ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    before = snapshot(target / NAME)
    assert main(["uninstall", f"{NAME}=={OLDER}"]) == 0
    assert names(tmp_path / "home") == [".modelboot"]
    assert snapshot(target / NAME) == before
    assert main(["verify", f"{NAME}=={pin.version}"]) == 0


def test_uninstall_by_name_removes_every_copy(pin: ModelPin, tmp_path: Path, target: Path) -> None:
    """Without a version both copies go: the target's and the store's."""
    ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    assert main(["uninstall", pin.name]) == 0
    assert names(target) == names(tmp_path / "home") == [".modelboot"]


def test_uninstall_reaches_its_own_copy_beside_that_of_pip(
    tmp_path: Path, target: Path, wheel: BuiltWheel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program's version stays, and that is said; modelboot's own in the store goes."""
    ensure_model(small_wheel(tmp_path / "old", OLDER).pin)
    (target / f"{NAME}-{OLDER}.dist-info" / "INSTALLER").write_text("pip\n")
    ensure_model(wheel.pin)
    before = snapshot(target)
    store = _store(tmp_path)
    assert main(["uninstall", NAME]) == 0
    assert capsys.readouterr() == (
        f"{NAME} {VERSION}  removed  {store}\n",
        f"info: {NAME} {OLDER} is left in {target}: pip installed it\n",
    )
    assert snapshot(target) == before
    assert names(tmp_path / "home") == [".modelboot"]


PLANTED = ["../victim", "../../victim", "/victim", "neighbour/file", "../victim/../victim"]


@pytest.mark.parametrize("line", PLANTED)
def test_uninstall_follows_no_path_out_of_the_model(line: str, pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A RECORD that was planted to name files elsewhere harms none of them."""
    victim = tmp_path / "victim" if ".." in line else target / "neighbour" / "file"
    victim.parent.mkdir(exist_ok=True)
    victim.write_bytes(b"mine\n")
    path = str(victim) if line.startswith("/") else line
    with (target / DIST_INFO / "RECORD").open("a") as record:
        record.write(f"{path},sha256=x,5\n")
    main(["uninstall", pin.name])
    assert victim.read_bytes() == b"mine\n"


def test_uninstall_does_not_follow_a_link_out_of_the_model(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A package that was replaced by a link elsewhere: what it leads to stays."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(target / NAME, elsewhere)
    (target / NAME).symlink_to(elsewhere)
    before = snapshot(elsewhere)
    main(["uninstall", pin.name])
    assert snapshot(elsewhere) == before


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pip's": (lambda target: (target / DIST_INFO / "INSTALLER").write_text("pip\n"), "pip installed it"),
    "nobody's": (lambda target: (target / DIST_INFO / "INSTALLER").unlink(), "another program installed it"),
    "unrecorded file": (extra, f"RECORD does not list {DATA}/notes.txt"),
}


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("pin")
def test_uninstall_refuses_what_is_not_modelboot_s(
    change: Callable[[Path], object], reason: str, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program's model, or one with somebody's own file in it, stays as it is: status 1 and the reason."""
    change(target)
    before = snapshot(target)
    assert main(["uninstall", NAME]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: could not uninstall {NAME} {VERSION}: {target}: {reason}\nhint: ")
    assert snapshot(target) == before


@pytest.mark.usefixtures("pin")
def test_uninstall_of_no_version_is_refused(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`name==` of a variable that is not set does not mean every version."""
    before = snapshot(target)
    assert main(["uninstall", f"{NAME}=="]) == 1
    assert "only == is supported" in capsys.readouterr().err
    assert snapshot(target) == before


@pytest.mark.parametrize("name", ["en_nothing_sm", f"{NAME}=={OLDER}", f"{NAME} @ https://host/x#sha256={'a' * 64}"])
@pytest.mark.usefixtures("pin")
def test_uninstall_of_what_is_not_installed_fails(name: str, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of that name or version: status 1, and nothing is removed, not even what was named before it."""
    before = snapshot(target)
    assert main(["uninstall", NAME, name]) == 1
    assert capsys.readouterr().err.startswith(f"error: {name} is not installed\nhint: ")
    assert snapshot(target) == before


def test_uninstall_without_the_right_says_so() -> None:
    """A target of root's, another user: status 1, an error that names the folder, and the model is still whole."""
    skip_unless_other_user()
    with public_folder() as folder:
        pin = build_wheel(folder / "wheel", version=VERSION).pin
        target, home = folder / "target", owned(folder / "home", OTHER)
        ensure_model(pin, target=target)
        before = snapshot(target)
        script = "import sys; from modelboot.cli import main; sys.exit(main(['uninstall', sys.argv[1]]))"
        env = {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(home)}
        done = python(script, NAME, user=OTHER, env=env)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: could not uninstall {NAME} {VERSION}: {target}")
        assert "Permission denied" in done.stderr
        assert snapshot(target) == before


def test_uninstall_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name it is wrong usage: status 2, and nothing can be removed by mistake."""
    with pytest.raises(SystemExit, match="2"):
        main(["uninstall"])
    assert "MODEL" in capsys.readouterr().err
