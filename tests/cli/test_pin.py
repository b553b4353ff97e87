"""`modelboot pin` of a URL or a file, pins files, and direct references on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import modelboot
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.wheels import BREACHES_TO_NAME, DIST_INFO, NAME, VERSION, BuiltWheel, Tampering, build_wheel

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("way", ["file", "file URL", "http", "unnamed", "folder with an @"])
def test_pin_of_a_wheel(way: str, tiny: BuiltWheel, server: ModelServer, tmp_path: Path, capsys: Capture) -> None:
    """A wheel at a URL or in a file is read once and hashed; the line that is printed is the pin that installs it."""
    server.serve("/x/en_tiny_sm-1.0.0-py3-none-any.whl", Reply(body=tiny.content))
    server.serve("/assets/4711", Reply(body=tiny.content))
    folder = tmp_path / "ann@corp"
    folder.mkdir()
    place = {
        "folder with an @": str(shutil.copy(tiny.path, folder)),
        "file": str(tiny.path),
        "file URL": tiny.url,
        "http": f"{server.url}/x/en_tiny_sm-1.0.0-py3-none-any.whl",
        "unnamed": f"{server.url}/assets/4711",
    }[way]
    assert main(["pin", place]) == 0
    out, err = capsys.readouterr()
    assert "the hash is that of what was read just now" in err
    pin = eval(out, {"ModelPin": modelboot.ModelPin})  # noqa: S307 - what a user would paste
    assert pin == tiny.pin
    assert len(server.requests) == (way in {"http", "unnamed"})
    assert modelboot.ensure_model(pin).version == "1.0.0"


@pytest.mark.parametrize("format_", ["requirements", "uv", "pylock"])
def test_pin_format(format_: str, tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """Each format has URL and hash; the secrets of a URL are in none."""
    assert main(["pin", str(tiny.path), "--format", format_]) == 0
    text = capsys.readouterr().out
    assert tiny.sha256 in text
    assert tiny.url in text
    if format_ == "requirements":
        (tmp_path / "pins.txt").write_text(text)
        assert main(["install", "-r", str(tmp_path / "pins.txt")]) == 0
        assert capsys.readouterr().out.startswith("en_tiny_sm 1.0.0  release")


@pytest.mark.parametrize(
    "requires",
    [['sudachipy>=0.5; python_version < "3.12"'], ["sudachipy>=0.5; python_version < '3.12'", "pymorphy3>=1.0"]],
    ids=["double quotes", "single quotes"],
)
def test_pin_python_of_requirements_with_quotes(requires: list[str], tmp_path: Path, capsys: Capture) -> None:
    """The line is Python whatever the wheel's requirements have in them, and means what they mean."""
    lines = [f"Name: {NAME}", f"Version: {VERSION}", *(f"Requires-Dist: {each}" for each in requires)]
    metadata = "\n".join(["Metadata-Version: 2.1", *lines, ""]).encode()
    wheel = build_wheel(tmp_path, tampering=Tampering(extra={f"{DIST_INFO}/METADATA": metadata}))
    assert main(["pin", str(wheel.path)]) == 0
    line = capsys.readouterr().out
    pin = eval(compile(line, "pasted", "eval"), {"ModelPin": modelboot.ModelPin})  # noqa: S307 - what a user would paste
    assert (pin, pin.requires) == (wheel.pin, tuple(requires))


@pytest.mark.parametrize("breach", ["pth", "link", "console-script"])
def test_pin_of_a_wheel_that_would_be_refused(breach: str, tmp_path: Path, capsys: Capture) -> None:
    """No line is printed for a wheel that modelboot would not install."""
    wheel = build_wheel(tmp_path, tampering=BREACHES_TO_NAME[breach].tampering)
    assert main(["pin", str(wheel.path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert BREACHES_TO_NAME[breach].issue in err
    assert err.startswith("error: could not pin the wheel: ")


@pytest.mark.parametrize("what", ["absent", "no wheel", "a folder"])
def test_pin_of_something_else(what: str, tmp_path: Path, capsys: Capture) -> None:
    """What is absent or no wheel is an error of two lines."""
    path = tmp_path / "x.whl"
    if what == "no wheel":
        path.write_text("<html>")
    elif what == "a folder":
        path.mkdir()
    assert main(["pin", str(path)]) == 1
    out, err = capsys.readouterr()
    assert (out, [line.partition(":")[0] for line in err.splitlines()]) == ("", ["error", "hint"])


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("http://127.0.0.1:9/x.whl?token=s3cret", "x.whl"),
        ("http://127.0.0.1:9/x.whl?token=a/s3cret", "x.whl"),
        ("http://127.0.0.1:9/x.whl#s3cret", "x.whl"),
        ("http://ann:s3cret@127.0.0.1:9", "127.0.0.1:9"),
        ("http://ann:s3cret@127.0.0.1:9/", "127.0.0.1:9"),
    ],
)
def test_pin_keeps_secrets(
    place: str, name: str, offline: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A URL that cannot be read is named by what may be shown of it: no token, no password."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", offline)
    assert main(["pin", place, "--debug"]) == 1
    err = capsys.readouterr().err
    assert f"error: Can't find model {name!r}" in err
    assert "s3cret" not in err


def test_pin_offline(server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """A URL is not asked when the network is switched off, and its password is not shown."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    assert main(["pin", f"{server.url.replace('//', '//ann:s3cret@')}/x.whl"]) == 1
    err = capsys.readouterr().err
    assert "MODELBOOT_OFFLINE=1" in err
    assert "s3cret" not in err
    assert server.requests == []


def test_install_from_a_pins_file(tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """Every model of a pins file is installed; the default is not added to them."""
    other = build_wheel(tmp_path / "w", name="de_tiny_sm", lang="de", version="2.0")
    pins = tmp_path / "pins.txt"
    lines = [f"{wheel.name} @ {wheel.url}#sha256={wheel.sha256}" for wheel in (tiny, other)]
    pins.write_text("# ours\n" + "\n".join(lines) + "\n")
    assert main(["install", "--json", "-r", str(pins)]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == ["en_tiny_sm", "de_tiny_sm"]


def test_install_from_several_pins_files(tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """As with pip, every file that is named counts, and so does a model beside them."""
    wheels = [build_wheel(tmp_path / lang, name=f"{lang}_tiny_sm", lang=lang) for lang in ("de", "es")]
    lines = [f"{wheel.name} @ {wheel.url}#sha256={wheel.sha256}" for wheel in (*wheels, tiny)]
    for name, line in zip("ab", lines, strict=False):
        (tmp_path / name).write_text(line)
    assert main(["install", "--json", "-r", str(tmp_path / "a"), lines[2], "-r", str(tmp_path / "b")]) == 0
    installed = {model["name"] for model in json.loads(capsys.readouterr().out)}
    assert installed == {"de_tiny_sm", "es_tiny_sm", "en_tiny_sm"}


def test_install_from_an_empty_pins_file(tmp_path: Path, target: Path, capsys: Capture) -> None:
    """A file without a pin asks for nothing: the default model is not installed in its stead, and that is said."""
    pins = tmp_path / "pins.txt"
    pins.write_text("# none yet\n")
    assert main(["install", "-r", str(pins)]) == 0
    assert capsys.readouterr() == ("", f"warning: nothing to install: no model in {pins}\n")
    assert main(["install", "--json", "-r", str(pins)]) == 0
    assert capsys.readouterr().out == "[]\n"
    assert not target.exists()


@pytest.mark.parametrize(
    "command", [["install"], ["check"], ["pin"], ["doctor"], ["fetch", "--dest", "w"], ["verify"], ["uninstall"]]
)
def test_direct_reference_on_the_command_line(
    command: list[str], tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Every command that takes a model takes a direct reference."""
    monkeypatch.chdir(tmp_path)
    if command[0] in {"verify", "uninstall"}:
        modelboot.ensure_model(tiny.pin)
    assert main([command[0], f"en-tiny-sm @ {tiny.url}#sha256={tiny.sha256}", *command[1:]]) == 0
    assert "en_tiny_sm" in capsys.readouterr().out


def test_pins_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    """What `-r` names is told as what `-r` names, and not as a variable that nobody has set."""
    assert main(["install", "-r", str(tmp_path / "absent.txt")]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert (
        error == f"error: --requirement={str(tmp_path / 'absent.txt')!r} is not a pins file: No such file or directory"
    )
    assert hint == "hint: fix --requirement"
