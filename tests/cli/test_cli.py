"""The commands as a user runs them: what they print, where, and with which exit status."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from modelboot import HashMismatchError, ModelPin, __version__, ensure_model, get_nlp
from modelboot._catalog import catalog
from modelboot.cli import main
from modelboot.cli.check import example_sentence
from support.children import environment
from support.commands import facts, failure, output, reference, run
from support.folders import snapshot
from support.server import ModelServer
from support.sources import publish, use_index_at
from support.wheels import NAME, BuiltWheel, altered, build_wheel, large_wheel

DEFAULT = "en_core_web_sm"
MODEL = {"name", "version", "sha256", "verified", "source", "path", "downloaded_bytes", "seconds"}
HANG_S = 60
CANNOT = f"Can't find model '{NAME}': "
OFFLINE = {"MODELBOOT_OFFLINE": "1", "MODELBOOT_BASE_URL": "http://127.0.0.1:9", "MODELBOOT_WHEELHOUSE": "/absent"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a tiny pipeline of the default model's name."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), name=DEFAULT, version="3.8.0")


@pytest.fixture
def file_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: BuiltWheel, tiny: BuiltWheel) -> Path:
    """Make two tiny pipelines all that the catalog knows, one of them the default; return their mirror's folder."""
    return publish(monkeypatch, tmp_path / "mirror", wheel, tiny)


# --- what is done


@pytest.mark.usefixtures("file_mirror")
def test_install_prints_a_line(target: Path) -> None:
    """The default model is one line on stdout and the log is on stderr; a second install says so, changing nothing."""
    _, out, err = run("install")
    assert re.fullmatch(rf"{DEFAULT} 3\.8\.0  release, \d\.\d\d s  {re.escape(str(target))}\n", out)
    asking, downloading = err.splitlines()
    assert asking.startswith(f"info: {DEFAULT} 3.8.0: asking mirror (file:")
    assert downloading == f"info: downloading {DEFAULT} 3.8.0 (0.0 MB)"
    before = snapshot(target, without=(), strict=True)
    assert run("install") == (0, f"{DEFAULT} 3.8.0  present  {target}\n", "")
    assert snapshot(target, without=(), strict=True) == before


@pytest.mark.parametrize("command", ["install", "fetch --dest dest"])
def test_size_of_a_download_is_told(
    command: str, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of what came over the network stands behind the source."""
    monkeypatch.chdir(tmp_path)
    pin = server.publish(large_wheel(tmp_path / "large"))
    assert output(*command.split(), reference(pin)).startswith(f"{NAME} 1.0.0  release, 1.0 MB")


@pytest.mark.usefixtures("file_mirror")
def test_install_of_several() -> None:
    """Several models are a line each in their order; one that fails ends it, and what was done before is printed."""
    status, out, err = run("install", "en_tiny_sm==1.0.0", DEFAULT, "en_none", NAME)
    assert status == 1
    assert [line.split("  ")[0] for line in out.splitlines()] == ["en_tiny_sm 1.0.0", f"{DEFAULT} 3.8.0"]
    assert "error: Can't find model 'en_none': the catalog has no pipeline of that name\n" in err


@pytest.mark.usefixtures("file_mirror")
def test_install_json(target: Path, wheel: BuiltWheel) -> None:
    """The JSON of an install is a list of facts, one item a model."""
    first, second = facts("install", DEFAULT, NAME)
    assert set(first) == set(second) == MODEL
    assert (first["name"], first["version"], first["sha256"]) == (DEFAULT, "3.8.0", wheel.sha256)
    assert (first["source"], first["verified"], first["downloaded_bytes"]) == ("release", True, 0)
    assert second["path"] == str(target / "en_tiny_sm" / "en_tiny_sm-1.0.0")
    assert first["seconds"] == round(first["seconds"], 4) > 0


@pytest.mark.usefixtures("file_mirror")
def test_check_json() -> None:
    """The JSON has what was done and seen, and the seconds of each phase; a warm check skips those of the install."""
    cold = facts("check", NAME)
    assert set(cold) == MODEL | {"spacy", "phases", "pipeline", "sentence", "tokens"}
    assert (cold["name"], cold["source"], cold["pipeline"]) == ("en_tiny_sm", "release", ["sentencizer"])
    assert cold["tokens"][0] == {"text": "Who", "pos": "", "tag": "", "dep": "", "entity": ""}
    assert "".join(token["text"] for token in cold["tokens"]) == cold["sentence"].replace(" ", "")
    assert [*cold["phases"]] == ["find", "lock", "fetch", "unpack", "publish", "load", "parse"]
    assert cold["seconds"] == pytest.approx(sum(cold["phases"].values()), abs=0.001)
    warm = facts("check", NAME)
    assert ([*warm["phases"]], warm["source"]) == (["find", "load", "parse"], "present")
    get_nlp(NAME)
    assert get_nlp.cache_info().misses == 1  # the object of all who ask in this process


def test_check_warns_once(tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline made for an older spaCy is warned of once, although it is both installed and loaded."""
    publish(monkeypatch, tmp_path / "mirror", tiny, spacy_range=">=3.1,<3.2")
    (warning,) = re.findall("^warning: .*$", run("check", NAME).err, re.MULTILINE)
    assert warning.startswith("warning: en_tiny_sm 1.0.0 was made for spaCy >=3.1,<3.2; ")


@pytest.mark.usefixtures("file_mirror")
def test_debug_logs() -> None:
    """With --debug the whole log is on stderr, and stdout has the result alone."""
    status, out, err = run("install", "--debug")
    assert (status, out.count("\n")) == (0, 1)
    assert f"debug: installed {DEFAULT} 3.8.0 from release" in err


# --- the sentence of `check`, in the language of the model

LANGUAGES = sorted({entry.pin.name.partition("_")[0] for entry in catalog()})


@pytest.mark.parametrize("language", LANGUAGES)
def test_example_sentence_of_an_official_language(language: str) -> None:
    """Every language with an official pipeline has a sentence of its own on one line; Macedonian alone borrows one."""
    sentence = example_sentence(language)
    assert len(sentence) >= 10
    assert sentence == " ".join(sentence.split())
    assert (sentence == example_sentence("xx")) == (language in {"mk", "xx"})


@pytest.mark.parametrize(
    ("language", "start"),
    [
        ("fr", "Qui est le président de la France ?"),
        ("ja", "アップル"),  # words that no blank parts cannot be counted: the first sentence
        ("tlh", "El pingüino"),  # a language that spaCy does not know
    ],
)
def test_example_sentence_is_one(language: str, start: str) -> None:
    """Neither the headline that most lists begin with nor a fragment: the shortest of six words or more."""
    assert example_sentence(language).startswith(start)


# --- usage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("instal", "unknown command 'instal'; did you mean install or uninstall?"),
        ("xyz", "unknown command 'xyz'; choose from install, check, list,"),
        ("install --fast", "unrecognized arguments: --fast"),
        ("pin --format conda", "invalid choice: 'conda'"),
        ("install --target=", "argument --target: '' is not a folder"),
        ("--target= install", "argument --target: '' is not a folder"),
        ("install --target ~nobody_has_this_name/x", "argument --target: '~nobody_has_this_name/x' is not a "),
        ("fetch --dest x", "the following arguments are required: MODEL"),
        ("fetch en_core_web_sm", "the following arguments are required: --dest"),
        ("list --hashes", "--all and --hashes are of use with --available only"),
    ],
)
def test_usage_wrong(words: str, told: str) -> None:
    """Wrong usage ends with status 2, the usage on stderr and what was meant, as far as that can be guessed."""
    status, out, err = run(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("usage: modelboot")
    assert told in err


def test_call_without_a_command() -> None:
    """It shows the help, as `--help` does, and is not a failure; `--version` prints name and version."""
    assert run() == run("--help")
    assert output().startswith("usage: modelboot")
    assert run("--version") == (0, f"modelboot {__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("install", "name @ URL#sha256=HEX (default: en_core_web_sm)"),
        ("verify", "name @ URL#sha256=HEX (default: all that are installed)"),
        ("pin", "output format (default: python)"),
        ("list", "only names that contain or match this: fr, 'de_*'"),
        ("list", "List installed models and their state; with --available, the catalog."),
    ],
)
def test_help(command: str, told: str) -> None:
    """Every command explains itself in a sentence, lists its options and says what counts where one is not given."""
    out = output(command, "--help")
    usage, sentence, *rest = out.split("\n\n")
    assert usage.startswith(f"usage: modelboot {command} [-h] [--json] [--debug]")
    assert sentence.endswith(".")
    assert "  --json " in "\n".join(rest)
    assert told in " ".join(out.split())


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize(
    "words", [f"--json --target here install {NAME}", f"--target there --json install {NAME} --target here"]
)
def test_options_before_or_after_the_command(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options that all commands have may stand on either side; the later one wins, and the variable is as it was."""
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 0
    (installed,) = json.loads(capsys.readouterr().out)
    assert Path(installed["path"]).is_relative_to(tmp_path / "here")
    assert not target.exists()
    assert os.environ["MODELBOOT_TARGET"] == str(target)


@pytest.mark.parametrize("words", [f"--offline install {NAME}", f"install {NAME} --offline"])
def test_offline_for_one_run(
    words: str, server: ModelServer, file_mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--offline` asks no server in this run, and the next one may again."""
    server.tree(file_mirror)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    assert main(words.split()) == 1
    assert not server.requests
    assert main(["install", NAME]) == 0
    assert len(server.requests) == 1


# --- failures


FAILURES: dict[str, tuple[dict[str, str], str, str, str]] = {
    "name": ({}, "en_tiny_xl", "Can't find model 'en_tiny_xl'", "did you mean en_tiny_sm"),
    "version": ({}, "en_tiny_sm==7", f"{CANNOT}the catalog has no en_tiny_sm 7", "did you mean en_tiny_sm==1.0.0?"),
    "number": ({"MODELBOOT_TIMEOUT": "soon"}, NAME, "MODELBOOT_TIMEOUT='soon' is not a number", "fix or unset MODELBO"),
    "offline": (OFFLINE, NAME, f"{CANNOT}en_tiny_sm 1.0.0 is not installed, and http", "create /absent or fix MODE"),
    "target": ({"MODELBOOT_TARGET": __file__}, NAME, f"could not install {NAME} 1.0.0: ", "run as a user who may wr"),
}


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize(("env", "model", "error", "hint"), FAILURES.values(), ids=FAILURES)
def test_failure(env: dict[str, str], model: str, error: str, hint: str) -> None:
    """Each kind of failure is status 1, with its own error and hint, a line each."""
    *log, told, what_to_do = failure("install", model, **env)
    assert told.startswith(f"error: {error}")
    assert what_to_do.startswith(f"hint: {hint}")
    assert [line for line in log if not line.startswith("info: ")] == []


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize("option", ["", "--json", "--debug"])
@pytest.mark.parametrize("command", ["install", "check", "fetch --dest dest", "pin", "doctor", "verify", "uninstall"])
def test_failure_of_each_command(command: str, option: str) -> None:
    """A model that there is not fails every command in the same two lines, in each kind of output."""
    *log, error, hint = failure(*f"{command} en_none {option}".split())
    assert error.startswith(("error: en_none is not installed", "error: Can't find model 'en_none': the catalog "))
    assert hint.startswith("hint: ")
    assert any("Traceback" in line for line in log) == (option == "--debug")


@pytest.mark.usefixtures("file_mirror")
def test_failure_names_each_source(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no source has the model it is told which were asked, each on a line and once, and what to do first."""
    use_index_at(server.url, monkeypatch)
    typo = str(tmp_path / "typo")
    env = {"MODELBOOT_BASE_URL": server.url, "MODELBOOT_WHEELHOUSE": typo}
    *log, error, house, mirror, index, hint = failure("install", NAME, **env)
    assert error.startswith(f"error: {CANNOT}could not get {NAME} 1.0.0 (sha256 ")
    assert house == f"  wheelhouse ({typo}): no such folder"
    assert mirror == f"  mirror ({server.url}/{NAME}-1.0.0/{NAME}-1.0.0-py3-none-any.whl): HTTP 404 Not Found"
    assert index.startswith("  index (")
    assert hint.startswith(f"hint: create {typo} or fix MODELBOOT_WHEELHOUSE, or put the wheel on the mirror")
    assert not [line for line in log if "HTTP 404" in line or "no such folder" in line]
    assert server.count("/simple/en-tiny-sm/") == 1


@pytest.mark.usefixtures("file_mirror")
def test_failure_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is two lines and status 130, not a traceback; where no download was cut short, nothing was kept."""
    monkeypatch.setattr("spacy.load", Mock(side_effect=KeyboardInterrupt))
    status, out, err = run("check")
    assert (status, out, "Traceback" in err) == (130, "", False)
    assert err.splitlines()[-2:] == ["error: interrupted", "hint: nothing unfinished was left; run it again"]


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "debug"])
def test_failure_unexpected(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    """An unforeseen fault is two lines, whatever it says of itself; its traceback is there for the asking."""
    monkeypatch.setattr("spacy.language.Language.__call__", Mock(side_effect=RuntimeError("two\n  lines")))
    *log, error, hint = failure("check", *options)
    assert error == "error: RuntimeError: two lines"
    assert hint == "hint: run the command again with --debug and report what it prints"
    assert any("Traceback" in line for line in log) == bool(options)


# --- stdout as it may be


def child(redirection: str, *words: str, stdout: int = subprocess.PIPE, **env: str) -> tuple[int, str | None, str]:
    """Run the program in a process whose stdout the shell redirects; return its status, and what it printed."""
    line = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "modelboot", *words]
    given, err = environment({"PYTHONUNBUFFERED": None, **env}), subprocess.PIPE
    done = subprocess.run(line, stdout=stdout, stderr=err, text=True, env=given, timeout=HANG_S, check=False)
    return done.returncode, done.stdout, done.stderr


def test_stdout_closed_early() -> None:
    """A reader that has seen enough, as `head` has, is not a failure."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        assert child("", "list", "--available", stdout=write_end) == (0, None, "")
    finally:
        os.close(write_end)


@pytest.mark.parametrize(("words", "err"), [("list --available", ""), ("--version", f"modelboot {__version__}\n")])
def test_stdout_absent(words: str, err: str) -> None:
    """A caller without any stdout, as a service may be, is not a failure either; the version then goes to stderr."""
    assert child(">&-", *words.split()) == (0, "", err)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_stdout_ascii(pin: ModelPin, tmp_path: Path, options: list[str]) -> None:
    """Where stdout takes ASCII alone the text loses its accents and the JSON loses nothing."""
    folder = tmp_path / "modèles"
    ensure_model(pin, target=folder)
    status, shown, err = child("", "list", *options, PYTHONIOENCODING="ascii", MODELBOOT_TARGET=str(folder))
    assert (status, err) == (0, "")
    assert json.loads(str(shown))[0]["folder"] == str(folder) if options else str(shown).endswith("/mod?les\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["1", ""], ids=["at once", "at the end"])
def test_stdout_full(unbuffered: str, pin: ModelPin, target: Path) -> None:
    """A full disk behind stdout is told, once, and not that nothing was changed: the model is installed."""
    status, _, err = child(">/dev/full", "install", reference(pin), PYTHONUNBUFFERED=unbuffered)
    told = "error: No space left on device\nhint: fix the cause named above and run it again\n"
    assert (status, err[err.index("error: ") :]) == (1, told)
    assert (target / pin.name).is_dir()


def test_library_is_silent(
    wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A program that set up no logging sees nothing of a cold, a warm and a failed call."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's would hide what Python prints as a last resort
    monkeypatch.setenv("MODELBOOT_PROGRESS", "auto")
    assert [ensure_model(wheel.pin).source for _ in range(2)] == ["release", "present"]
    bad = altered(wheel, tmp_path / "bad").as_uri()
    with pytest.raises(HashMismatchError, match="not the pinned bytes"):
        ensure_model(wheel.pin_at(bad), target=tmp_path / "other")
    assert capfd.readouterr() == ("", "")
