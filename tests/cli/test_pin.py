"""`modelboot pin`: the line that pins a model, in each format; pins files and direct references on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelboot import ModelPin, ensure_model
from modelboot._catalog import resolve
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.wheels import BREACHES_TO_NAME, DIST_INFO, NAME, VERSION, BuiltWheel, Tampering, small_wheel

Capture = pytest.CaptureFixture[str]
FILE = f"{NAME}-{VERSION}-py3-none-any.whl"


def pasted(line: str) -> ModelPin:
    """Return the pin that a printed line is when a user pastes it into a program."""
    pin = eval(compile(line, "pasted", "eval"), {"ModelPin": ModelPin})  # noqa: S307 - the line is there to be pasted
    assert isinstance(pin, ModelPin)
    return pin


# --- of a model of the catalog


@pytest.mark.parametrize("model", ["en_core_web_sm", "ja_core_news_sm"])
def test_pin_python(capsys: Capture, model: str) -> None:
    """The Python line makes a pin with every field of the catalog's."""
    assert main(["pin", model]) == 0
    assert repr(pasted(capsys.readouterr().out)) == repr(resolve(model))


def test_pin_for_other_programs(capsys: Capture) -> None:
    """The requirements line is one that pip reads, the uv line an entry of `tool.uv.sources`; the JSON has the URL."""
    pin = resolve("en_core_web_sm")
    url = f"{pin.release_url}#sha256={pin.sha256}"
    assert main(["pin", "en_core_web_sm", "--format", "requirements"]) == 0
    requirement = Requirement(capsys.readouterr().out.strip())
    assert (requirement.name, requirement.url) == (pin.name, url)
    assert main(["pin", "--format", "uv"]) == 0
    assert capsys.readouterr() == (f'en_core_web_sm = {{ url = "{url}" }}\n', "")
    assert main(["pin", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"name", "version", "sha256", "url", "requires", "size_mb"}
    assert (facts["sha256"], facts["url"]) == (pin.sha256, pin.release_url)


# --- of a wheel


@pytest.mark.parametrize("way", ["file", "file URL", "http", "unnamed", "folder with an @"])
def test_pin_of_a_wheel(way: str, wheel: BuiltWheel, server: ModelServer, tmp_path: Path, capsys: Capture) -> None:
    """A wheel at a URL or in a file is read once and hashed; the line that is printed is the pin that installs it."""
    for path in (f"/x/{FILE}", "/assets/4711"):
        server.serve(path, Reply(body=wheel.content))
    folder = tmp_path / "ann@corp"
    folder.mkdir()
    place = {
        "folder with an @": str(shutil.copy(wheel.path, folder)),
        "file": str(wheel.path),
        "file URL": wheel.url,
        "http": f"{server.url}/x/{FILE}",
        "unnamed": f"{server.url}/assets/4711",
    }[way]
    assert main(["pin", place]) == 0
    out, err = capsys.readouterr()
    assert "the hash is that of what was read just now" in err
    pin = pasted(out)
    assert pin == wheel.pin
    assert len(server.requests) == (way in {"http", "unnamed"})
    assert ensure_model(pin).version == VERSION


@pytest.mark.parametrize("format_", ["requirements", "uv", "pylock"])
def test_pin_format(format_: str, wheel: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """Each format has URL and hash; a requirements line is a pins file."""
    assert main(["pin", str(wheel.path), "--format", format_]) == 0
    text = capsys.readouterr().out
    assert wheel.sha256 in text
    assert wheel.url in text
    if format_ == "requirements":
        (tmp_path / "pins.txt").write_text(text)
        assert main(["install", "-r", str(tmp_path / "pins.txt")]) == 0
        assert capsys.readouterr().out.startswith(f"{NAME} {VERSION}  release")


@pytest.mark.parametrize(
    "requires",
    [['sudachipy>=0.5; python_version < "3.12"'], ["sudachipy>=0.5; python_version < '3.12'", "pymorphy3>=1.0"]],
    ids=["double quotes", "single quotes"],
)
def test_pin_python_of_requirements_with_quotes(requires: list[str], tmp_path: Path, capsys: Capture) -> None:
    """The line is Python whatever the wheel's requirements have in them, and means what they mean."""
    lines = [f"Name: {NAME}", f"Version: {VERSION}", *(f"Requires-Dist: {each}" for each in requires)]
    metadata = "\n".join(["Metadata-Version: 2.1", *lines, ""]).encode()
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={f"{DIST_INFO}/METADATA": metadata}))
    assert main(["pin", str(wheel.path)]) == 0
    pin = pasted(capsys.readouterr().out)
    assert (pin, pin.requires) == (wheel.pin, tuple(requires))


@pytest.mark.parametrize("breach", ["pth", "link", "console-script"])
def test_pin_of_a_wheel_that_would_be_refused(breach: str, tmp_path: Path, capsys: Capture) -> None:
    """No line is printed for a wheel that modelboot would not install."""
    wheel = small_wheel(tmp_path, tampering=BREACHES_TO_NAME[breach].tampering)
    assert main(["pin", str(wheel.path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert BREACHES_TO_NAME[breach].issue in err
    assert err.startswith("error: could not pin the wheel: ")


NO_FILE = "name the file of a wheel that is there and that you may read"
PLACES = {
    "no such file": ("nosuch.whl", NO_FILE),
    "a folder": ("./", NO_FILE),
    "no wheel": (
        "page.whl",
        "this wheel cannot be installed by modelboot; rebuild it with `spacy package` and pin the new hash",
    ),
    "no such page": ("SERVER/x.whl", "check the URL"),
    "no server": ("http://127.0.0.1:9/x.whl", "check the network and proxy (`modelboot doctor`)"),
}


@pytest.mark.parametrize(("place", "hint"), PLACES.values(), ids=PLACES)
def test_pin_of_something_else(  # noqa: PLR0913, PLR0917 - a table and fixtures
    place: str, hint: str, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """What cannot be read or is not a wheel is an error and a hint, which names no setting: none would be of help."""
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.whl").write_text("<html>")
    assert main(["pin", place.replace("SERVER", server.url)]) == 1
    out, err = capsys.readouterr()
    assert (out, [line.partition(": ")[0] for line in err.splitlines()]) == ("", ["error", "hint"])
    assert err.splitlines()[1] == f"hint: {hint}"


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("http://ann:s3cret@127.0.0.1:9/x.whl?token=s3cret", "x.whl"),
        ("http://127.0.0.1:9/x.whl?token=a/s3cret", "x.whl"),
        ("http://127.0.0.1:9/x.whl#s3cret", "x.whl"),
        ("http://ann:s3cret@127.0.0.1:9", "127.0.0.1:9"),
        ("http://ann:s3cret@127.0.0.1:9/", "127.0.0.1:9"),
    ],
)
def test_pin_keeps_secrets_of_a_url_that_fails(
    place: str, name: str, offline: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A URL that cannot be read is named by what may be shown of it: no token, no password."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", offline)
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    assert main(["pin", place, "--debug"]) == 1
    err = capsys.readouterr().err
    assert f"error: Can't find model {name!r}" in err
    assert ("MODELBOOT_OFFLINE=1" in err) == (offline == "1")
    assert "s3cret" not in err


@pytest.mark.parametrize("option", ["--json", "--format=python", "--format=requirements", "--format=uv"])
def test_pin_keeps_secrets(option: str, wheel: BuiltWheel, server: ModelServer, capsys: Capture) -> None:
    """The URL in what is printed has no password and no query."""
    server.serve(f"/{FILE}", Reply(body=wheel.content))
    assert main(["pin", f"{server.url.replace('://', '://me:s3cret@')}/{FILE}?token=s3cret", option]) == 0
    out, err = capsys.readouterr()
    assert f"{server.url}/{FILE}" in out
    assert "s3cret" not in f"{out}{err}"


def test_pin_offline(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL is not asked when the network is switched off."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    assert main(["pin", f"{server.url}/x.whl"]) == 1
    assert server.requests == []


# --- pins files and references


def line_of(wheel: BuiltWheel) -> str:
    """Return the direct reference to a wheel."""
    return f"{wheel.name} @ {wheel.url}#sha256={wheel.sha256}"


def test_install_from_pins_files(wheel: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """Every model of every file is installed, and one named beside them; the default is not added to them."""
    others = [small_wheel(tmp_path / version, version) for version in ("0.8.0", "0.9.0")]
    (tmp_path / "a").write_text(f"# ours\n\n{line_of(others[0])}\n{line_of(others[1])}\n")
    (tmp_path / "b").write_text(line_of(wheel))
    assert main(["install", "--json", "-r", str(tmp_path / "a"), "-r", str(tmp_path / "b")]) == 0
    assert [model["version"] for model in json.loads(capsys.readouterr().out)] == ["0.8.0", "0.9.0", VERSION]
    assert main(["install", "--json", "-r", str(tmp_path / "b"), line_of(others[1])]) == 0
    assert {model["version"] for model in json.loads(capsys.readouterr().out)} == {"0.9.0", VERSION}


def test_install_from_an_empty_pins_file(tmp_path: Path, target: Path, capsys: Capture) -> None:
    """A file without a pin asks for nothing: the default model is not installed in its stead, and that is said."""
    pins = tmp_path / "pins.txt"
    pins.write_text("# none yet\n")
    assert main(["install", "-r", str(pins)]) == 0
    assert capsys.readouterr() == ("", f"warning: nothing to install: no model in {pins}\n")
    assert main(["install", "--json", "-r", str(pins)]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert not target.exists()


def test_install_from_a_pins_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    """What `-r` names is told as what `-r` names, and not as a variable that nobody has set."""
    absent = tmp_path / "absent.txt"
    assert main(["install", "-r", str(absent)]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: --requirement={str(absent)!r} is not a pins file: No such file or directory"
    assert hint == "hint: fix --requirement"


@pytest.mark.parametrize("command", ["install", "check", "pin", "doctor", "fetch", "verify", "uninstall"])
def test_direct_reference_on_the_command_line(command: str, tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """Every command that takes a model takes a direct reference."""
    if command in {"verify", "uninstall"}:
        ensure_model(tiny.pin)
    options = ["--dest", str(tmp_path / "dest")] if command == "fetch" else []
    assert main([command, line_of(tiny).replace("_", "-", 2), *options]) == 0
    assert NAME in capsys.readouterr().out
