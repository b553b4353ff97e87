"""`modelboot pin`: the line that pins a model, in each format; pins files and direct references on the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelboot import ModelPin, ensure_model
from modelboot._catalog import resolve
from modelboot._install import pin_from_file
from support.commands import facts, failure, output, reference, run
from support.server import ModelServer, Reply
from support.wheels import BREACHES, DIST_INFO, NAME, VERSION, BuiltWheel, Tampering, small_wheel

FILE, METADATA = f"{NAME}-{VERSION}-py3-none-any.whl", f"{DIST_INFO}/METADATA"


def pasted(line: str) -> ModelPin:
    """Return the pin that a printed line is when a user pastes it into a program."""
    pin = eval(compile(line, "pasted", "eval"), {"ModelPin": ModelPin})  # noqa: S307 - the line is there to be pasted
    assert isinstance(pin, ModelPin)
    return pin


# --- of a model of the catalog


@pytest.mark.parametrize("model", ["en_core_web_sm", "ja_core_news_sm", "zh_core_web_sm"])
def test_pin_python(model: str) -> None:
    """The Python line makes a pin with every field of the catalog's: no, two or one requirement."""
    assert repr(pasted(output("pin", model))) == repr(resolve(model))


def test_pin_for_other_programs() -> None:
    """The requirements line is one that pip reads, the uv line an entry of `tool.uv.sources`; the JSON has the URL."""
    pin = resolve("en_core_web_sm")
    url = f"{pin.release_url}#sha256={pin.sha256}"
    requirement = Requirement(output("pin", "en_core_web_sm", "--format", "requirements").strip())
    assert (requirement.name, requirement.url) == (pin.name, url)
    assert run("pin", "--format", "uv") == (0, f'en_core_web_sm = {{ url = "{url}" }}\n', "")
    found = facts("pin")
    assert set(found) == {"name", "version", "sha256", "url", "requires", "size_mb"}
    assert (found["sha256"], found["url"]) == (pin.sha256, pin.release_url)


# --- of a wheel


@pytest.mark.parametrize("place", ["file", "file URL", "SERVER/x/FILE", "SERVER/assets/4711", "folder with an @"])
def test_pin_of_a_wheel(
    place: str, wheel: BuiltWheel, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel at a URL or in a file is read once and hashed; the line that is printed is the pin that installs it.

    Nothing is left in the working directory.
    """
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    for path in (f"/x/{FILE}", "/assets/4711"):
        server.serve(path, Reply(body=wheel.content))
    (tmp_path / "ann@corp").mkdir()
    copied = str(shutil.copy(wheel.path, tmp_path / "ann@corp"))
    local = {"file": str(wheel.path), "file URL": wheel.url, "folder with an @": copied}
    _, out, err = run("pin", local.get(place, place.replace("SERVER", server.url).replace("FILE", FILE)))
    assert "the hash is that of what was read just now" in err
    pin = pasted(out)
    assert pin == wheel.pin
    assert len(server.requests) == ("SERVER" in place)
    assert [*Path.cwd().iterdir()] == []
    assert ensure_model(pin).version == VERSION


@pytest.mark.parametrize("format_", ["requirements", "uv", "pylock"])
def test_pin_format(format_: str, wheel: BuiltWheel, tmp_path: Path) -> None:
    """Each format has URL and hash; a requirements line is a pins file."""
    text = output("pin", wheel.path, "--format", format_)
    assert wheel.sha256 in text
    assert wheel.url in text
    if format_ == "requirements":
        (tmp_path / "pins.txt").write_text(text)
        assert output("install", "-r", tmp_path / "pins.txt").startswith(f"{NAME} {VERSION}  release")


def test_pin_of_what_the_metadata_says(tmp_path: Path) -> None:
    """The name is the package's however it is spelled, extras are not required, a part of a megabyte counts as one.

    The line is Python whatever the wheel's requirements have in them, and means what they mean.
    """
    requires = ('sudachipy>=0.5; python_version < "3.12"', "pymorphy3>=1.0; python_version < '3.12'")
    lines = [f"Version: {VERSION}", *(f"Requires-Dist: {each}" for each in (*requires, 'pytest; extra == "tests"'))]
    metadata = "\n".join(["Metadata-Version: 2.1", "Name: en-.tiny.sm", *lines, ""]).encode()
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={METADATA: metadata}))
    pin = pasted(output("pin", wheel.path))
    assert (pin, pin.requires, pin.size_mb) == (wheel.pin, requires, 1)


@pytest.mark.parametrize(
    "tampering",
    [Tampering(omitted=[METADATA]), Tampering(extra={METADATA: b"Name: x\n".ljust(1 << 20)})],
    ids=["missing", "a megabyte"],
)
def test_pin_without_metadata(tmp_path: Path, tampering: Tampering) -> None:
    """A wheel without METADATA, or with one too large to be any, is refused as such."""
    error, _ = failure("pin", small_wheel(tmp_path, tampering=tampering).path)
    assert error.endswith(": not a readable wheel: no METADATA")


@pytest.mark.parametrize(("most", "told"), [(999, "sends more than 999 bytes"), (1000, "not a readable wheel")])
def test_pin_of_what_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, told: str) -> None:
    """No more is read than the largest wheel of an unknown size may have."""
    monkeypatch.setattr(pin_from_file, "MAX_UNKNOWN_BYTES", most)
    (tmp_path / "x.whl").write_bytes(bytes(1000))
    error, _ = failure("pin", tmp_path / "x.whl")
    assert told in error


@pytest.mark.parametrize("breach", ["pth", "link", "console-script"])
def test_pin_of_a_wheel_that_would_be_refused(breach: str, tmp_path: Path) -> None:
    """No line is printed for a wheel that modelboot would not install."""
    error, _ = failure("pin", small_wheel(tmp_path, tampering=BREACHES[breach].tampering).path)
    assert error.startswith("error: could not pin the wheel: ")
    assert BREACHES[breach].issue in error


NO_FILE = "name the file of a wheel that is there and that you may read"


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("nosuch.whl", NO_FILE),
        (__file__, "this wheel cannot be installed by modelboot; rebuild it with `spacy package` and pin the new hash"),
        ("SERVER/x.whl", "check the URL"),
        (
            "SERVER/closed.whl",
            "check the login or the token that was given; `modelboot doctor` shows which settings are in force",
        ),
        ("http://127.0.0.1:9/x.whl", "check the network and proxy (`modelboot doctor`)"),
    ],
    ids=["no such file", "no wheel", "no such page", "no login", "no server"],
)
def test_pin_of_something_else(place: str, hint: str, server: ModelServer) -> None:
    """What cannot be read or is not a wheel is an error and a hint, which names no setting: none would be of help."""
    server.serve("/closed.whl", Reply(status=401))
    error, told = failure("pin", place.replace("SERVER", server.url), MODELBOOT_RETRIES="0")
    assert (error[:7], told) == ("error: ", f"hint: {hint}")


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("http://ann:s3cret@SERVER/x.whl?token=s3cret", "x.whl"),
        ("http://SERVER/x.whl?token=a/s3cret", "x.whl"),
        ("http://SERVER/x.whl#s3cret", "x.whl"),
        ("http://ann:s3cret@SERVER", "SERVER"),
        ("http://ann:s3cret@SERVER/", "SERVER"),
    ],
)
def test_pin_keeps_secrets_of_a_url_that_fails(place: str, name: str, offline: str, server: ModelServer) -> None:
    """A URL that cannot be read is named by what may be shown of it; it is not asked when the network is off."""
    place, name = (text.replace("SERVER", f"127.0.0.1:{server.port}") for text in (place, name))
    err = "\n".join(failure("pin", place, "--debug", MODELBOOT_OFFLINE=offline))
    assert f"error: Can't find model {name!r}" in err
    assert offline == "1" or re.search(rf"could not get {name} +\(sha256 not known\)", err)
    assert "s3cret" not in err
    assert ("MODELBOOT_OFFLINE=1" in err, len(server.requests)) == (offline == "1", int(offline == "0"))


@pytest.mark.parametrize("option", ["--json", "--format=python", "--format=requirements", "--format=uv"])
def test_pin_keeps_secrets(option: str, wheel: BuiltWheel, server: ModelServer) -> None:
    """The URL in what is printed has no password and no query."""
    pin = server.publish(wheel)
    _, out, err = run("pin", f"{str(pin.url).replace('://', '://me:s3cret@')}?token=s3cret", option)
    assert str(pin.url) in out
    assert "s3cret" not in f"{out}{err}"


# --- pins files and references


def test_install_from_pins_files(wheel: BuiltWheel, tmp_path: Path) -> None:
    """Every model of every file is installed, and one named beside them; the default is not added to them."""
    older, oldest = (reference(small_wheel(tmp_path / version, version).pin) for version in ("0.9.0", "0.8.0"))
    (tmp_path / "a").write_text(f"# ours\n\n{oldest}\n{older}\n")
    (tmp_path / "b").write_text(reference(wheel.pin))
    installed = facts("install", "-r", tmp_path / "a", "-r", tmp_path / "b")
    assert [model["version"] for model in installed] == ["0.8.0", "0.9.0", VERSION]
    assert {model["version"] for model in facts("install", "-r", tmp_path / "b", older)} == {"0.9.0", VERSION}


def test_install_from_an_empty_pins_file(tmp_path: Path, target: Path) -> None:
    """A file without a pin asks for nothing: the default model is not installed in its stead, and that is said."""
    pins = tmp_path / "pins.txt"
    pins.write_text("# none yet\n")
    assert run("install", "-r", pins) == (0, "", f"warning: nothing to install: no model in {pins}\n")
    assert facts("install", "-r", pins) == []
    assert not target.exists()


def test_install_from_a_pins_file_that_is_not_there() -> None:
    """What `-r` names is told as what `-r` names, and not as a variable that is not set."""
    error = "error: --requirement='absent.txt' is not a pins file: No such file or directory"
    assert failure("install", "-r", "absent.txt") == [error, "hint: fix --requirement"]


@pytest.mark.parametrize("command", ["install", "check", "pin", "doctor", "fetch", "verify", "uninstall"])
def test_direct_reference_on_the_command_line(command: str, tiny_pin: ModelPin, tmp_path: Path) -> None:
    """Every command that takes a model takes a direct reference."""
    if command in {"verify", "uninstall"}:
        ensure_model(tiny_pin)
    options = ["--dest", str(tmp_path / "dest")] if command == "fetch" else []
    assert NAME in output(command, reference(tiny_pin).replace("_", "-", 2), *options)
