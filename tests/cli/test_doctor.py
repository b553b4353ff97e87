"""`modelboot doctor`: what it finds, how it tells it, and that it changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelboot import ensure_model
from modelboot._catalog import resolve
from modelboot._settings import read_settings
from modelboot._sources.source import Probe
from modelboot.cli import doctor as _doctor
from modelboot.cli import main
from modelboot.cli.doctor_report import DoctorReport
from support.children import public_folder, python, run_as_other_user, skip_unless_other_user
from support.folders import snapshot
from support.peers import forget_network_settings
from support.server import ModelServer, Reply
from support.sources import point_pip_at
from support.wheels import BuiltWheel

Capture = pytest.CaptureFixture[str]
NAME = "en_tiny_sm"
FILE = f"{NAME}-1.0.0-py3-none-any.whl"
PATH = f"/{NAME}-1.0.0/{FILE}"
FINDING = {"subject", "value", "ok", "found", "origin", "through", "seconds"}
DOCTOR = ["doctor", NAME]


@pytest.fixture(autouse=True)
def _bare_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test say itself which proxies, certificates and logins there are."""
    forget_network_settings(monkeypatch)


@pytest.fixture
def _offline(file_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalog know a small wheel alone, without a mirror or a network."""
    assert file_mirror.is_dir()
    monkeypatch.setenv("MODELBOOT_BASE_URL", "")
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")


@pytest.fixture
def mirror(file_mirror: Path, mirror: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Return the mirror that has the wheel, which is all that the catalog knows."""
    assert file_mirror.is_dir()
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.url)
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "2")
    return mirror


@pytest.mark.usefixtures("_offline")
def test_doctor_text_whole(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Path) -> None:
    """The report is this text, to the character."""
    monkeypatch.setenv("MODELBOOT_TARGET", "")
    monkeypatch.setattr("modelboot._install.target.purelib", lambda: target)
    monkeypatch.setattr("site.ENABLE_USER_SITE", False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # no environment of uv's
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setattr(_doctor, "find_versions", lambda: [Probe(subject="pip", value="26.3", ok=True, found="here")])
    (store,) = [
        target.value for target in _doctor.diagnose(resolve(NAME), read_settings()).targets if target.subject == "store"
    ]
    assert main(DOCTOR) == 0
    assert capsys.readouterr() == (
        f"""\
versions
  pip  26.3  here

settings
  MODELBOOT_OFFLINE       environment  1
  MODELBOOT_PINS          default      none
  MODELBOOT_WHEELHOUSE    default      none
  MODELBOOT_BASE_URL      default      the official release
  MODELBOOT_TOKEN         default      none
  MODELBOOT_REQUIRE_HASH  default      0
  MODELBOOT_INDEX         environment  0
  MODELBOOT_CACHE         environment  0
  MODELBOOT_TARGET        default      none
  MODELBOOT_HOME          environment  {tmp_path / "home"}
  MODELBOOT_TIMEOUT       default      30 s
  MODELBOOT_DEADLINE      default      1800 s
  MODELBOOT_RETRIES       default      4
  MODELBOOT_PROGRESS      environment  0
  NO_PROXY                environment  localhost
  NETRC                   environment  /dev/null

targets, in the order they are tried
  ok  environment  {target}
                   writable, locks work
  ok  store        {store}
                   writable, locks work

sources, in the order they are asked
  --  release  https://github.com/.../{FILE}
               not asked: MODELBOOT_OFFLINE=1
  --  index    pip download
               not asked: MODELBOOT_OFFLINE=1

{NAME} 1.0.0 cannot be fetched now: no source has it
""",
        "",
    )


@pytest.mark.usefixtures("mirror")
def test_doctor_mirror_answers(capsys: Capture) -> None:
    """A mirror that has the wheel is of use; the time it took stands behind it, and what an install would do below."""
    assert main(DOCTOR) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(rf"  ok  mirror  http://127.*{FILE}", line) for line in lines)
    assert any(re.fullmatch(r" {14}has the wheel \(0\.\d\d s\)", line) for line in lines)
    assert lines[-1] == f"{NAME} 1.0.0 would be fetched from mirror and installed into: MODELBOOT_TARGET"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (Reply(404), "HTTP 404 Not Found"),
        (Reply(503), "HTTP 503 Service Unavailable"),
        (
            Reply(401),
            (
                "HTTP 401 Unauthorized: give user:password in the URL or .netrc, "
                "MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
            ),
        ),
        (Reply(headers={"Content-Type": "text/html"}, body=b"<html>"), "something other than a wheel (text/html)"),
        (Reply(body=b"<html>"), "something other than a wheel (no content type)"),
        (Reply(body=b""), "an empty response"),
        (Reply(stall="headers"), "no byte for 2 s"),
        (Reply(302, headers={"Location": "ftp://x/y"}), "redirects from http to ftp://x/y"),
    ],
    ids=["404", "503", "401", "page", "untyped page", "empty", "stall", "redirect"],
)
def test_doctor_mirror_fails(reply: Reply, found: str, mirror: ModelServer, capsys: Capture) -> None:
    """What is wrong with a mirror is told in words, after one request; that is a result, so the status is 0."""
    mirror.serve(PATH, reply)
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "mirror")
    assert (finding["ok"], finding["found"]) == (False, found)
    assert finding["value"] == f"{mirror.url}{PATH}"
    assert 0 <= finding["seconds"] < 5
    assert len(mirror.requests) == 1


def test_doctor_mirror_drips(mirror: ModelServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that is slow answers all the same, and its seconds tell."""
    monkeypatch.setattr(_doctor, "PROBE_S", 1.5)
    mirror.serve(PATH, Reply(body=b"PK" * 50_000, drip_bytes_per_s=2))
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "mirror")
    assert (finding["ok"], finding["found"]) == (True, "has the wheel")
    assert 0.5 <= finding["seconds"] < 3


@pytest.mark.usefixtures("mirror")
def test_doctor_mirror_never_ends_its_answer(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends headers without end, never silent for long, has so many seconds and no more."""
    monkeypatch.setattr(_doctor, "PROBE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_send_headers_for_ever, args=(listener,))
        thread.start()
        assert main([*DOCTOR, "--json"]) == 0
        thread.join()
    finding = _finding(capsys, "sources", "mirror")
    assert (finding["ok"], finding["found"]) == (False, "no answer within 0.5 s")
    assert finding["seconds"] < 3


def _send_headers_for_ever(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):  # until the client has had enough
        connection.settimeout(0.05)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1 << 16):
                    return


@pytest.mark.usefixtures("_offline")
def test_doctor_nobody_listens(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that refuses the connection, and one that no name server knows, are told apart."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "0")
    for url, found in (
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://mirror.invalid", "mirror.invalid: "),
    ):
        monkeypatch.setenv("MODELBOOT_BASE_URL", url)
        assert main([*DOCTOR, "--json"]) == 0
        finding = _finding(capsys, "sources", "mirror")
        assert finding["found"].startswith(found)
        assert finding["ok"] is False


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(("root", "found"), [("mirror", "the wheel is there"), ("none", "no such file")])
def test_doctor_file_mirror(
    root: str, found: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mirror at a file URL is looked at although the network is switched off."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", (tmp_path / root).as_uri())
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "mirror")
    assert (finding["ok"], finding["found"], finding["seconds"]) == (root == "mirror", found, None)


def _empty(folder: Path, _: BuiltWheel) -> None:
    folder.mkdir()


def _absent(_: Path, __: BuiltWheel) -> None:
    """Make nothing."""


def _named(folder: Path, wheel: BuiltWheel) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(wheel.content)


def _tree(folder: Path, wheel: BuiltWheel) -> None:
    folder.mkdir()
    _named(folder / f"{NAME}-1.0.0", wheel)


def _others(folder: Path, wheel: BuiltWheel) -> None:
    folder.mkdir()
    for name in ("a.whl", "b.whl"):
        (folder / name).write_bytes(wheel.content)


@pytest.mark.parametrize(
    ("lay_out", "ok", "found"),
    [
        (_named, True, f"has {FILE}"),
        (_tree, True, f"has {FILE}"),
        (_others, None, f"no {FILE}, but wheels of other names (2), which an install compares by hash"),
        (_empty, False, f"no {FILE}"),
        (_absent, False, "No such file or directory"),
    ],
    ids=["named", "tree", "others", "empty", "absent"],
)
@pytest.mark.usefixtures("_offline")
def test_doctor_wheelhouse(  # noqa: PLR0913, PLR0917 - three columns and what they work on
    lay_out: Callable[[Path, BuiltWheel], None],
    ok: bool | None,  # noqa: FBT001 - a column
    found: str,
    wheel: BuiltWheel,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each wheelhouse is told with whether it has the wheel."""
    lay_out(tmp_path / "wheels", wheel)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "wheels"))
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "wheelhouse")
    assert (finding["ok"], finding["found"]) == (ok, found)


@pytest.mark.usefixtures("mirror")
def test_doctor_index_off(capsys: Capture) -> None:
    """An index that is switched off is told as such."""
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "index")
    assert (finding["ok"], finding["found"]) == (None, "not asked: MODELBOOT_INDEX=0")


@pytest.mark.usefixtures("mirror")
def test_doctor_index_asked(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is asked through pip, and its failure told with the time it took."""
    pytest.importorskip("pip", reason="needs pip in this environment")
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    point_pip_at("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "index")
    assert finding["ok"] is False
    assert finding["found"].startswith("the index does not answer (")
    assert 0 < finding["seconds"] < _doctor.PROBE_S


def test_doctor_secrets(mirror: ModelServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No password of a URL or a proxy is told, in text or JSON; which proxy is used is."""
    monkeypatch.setenv(
        "MODELBOOT_BASE_URL", mirror.url.replace("://", "://ann:s3cret@").replace("127.0.0.1", "localhost")
    )
    monkeypatch.setenv("http_proxy", f"http://pat:s3cret@127.0.0.1:{mirror.port}")
    monkeypatch.setenv("HTTPS_PROXY", "pat:s3cret@proxy.example.org:3128")
    for options in ([], ["--json"], ["--debug"]):
        assert main([*DOCTOR, *options]) == 0
        out, err = capsys.readouterr()
        assert "s3cret" not in f"{out}{err}"
        assert "proxy.example.org:3128" in out
        assert f"http://127.0.0.1:{mirror.port}" in out
    assert "s3cret" not in repr(mirror.requests[0].path)


@pytest.mark.usefixtures("_offline")
def test_doctor_settings(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each setting has its value and origin; a certificate file that is not there is told, as nothing else tells it."""
    monkeypatch.setenv("MODELBOOT_TIMEOUT", " 7 ")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert main([*DOCTOR, "--json"]) == 0
    findings = {item["subject"]: item for item in json.loads(capsys.readouterr().out)["settings"]}
    assert (findings["MODELBOOT_TIMEOUT"]["value"], findings["MODELBOOT_TIMEOUT"]["origin"]) == ("7", "environment")
    assert (findings["MODELBOOT_RETRIES"]["value"], findings["MODELBOOT_RETRIES"]["origin"]) == ("4", "default")
    assert (findings["SSL_CERT_FILE"]["ok"], findings["SSL_CERT_FILE"]["found"]) == (False, "no such file")
    assert findings["SSL_CERT_DIR"]["ok"] is True
    assert main(DOCTOR) == 0
    assert f"  SSL_CERT_FILE           environment  {tmp_path / 'none.pem'} (no such file)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("_offline")
def test_doctor_json(capsys: Capture) -> None:
    """The JSON has the documented keys, the URL whole, and what was not asked as null."""
    assert main([*DOCTOR, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"model", "settings", "targets", "sources", "versions", "installed", "unmet", "advice"}
    assert facts["model"] == f"{NAME} 1.0.0"
    assert {frozenset(item) for key in ("settings", "targets", "sources", "versions") for item in facts[key]} == {
        frozenset(FINDING)
    }
    assert facts["sources"][0]["value"].startswith("https://github.com/explosion/spacy-models/releases/download/")
    assert facts["sources"][0]["ok"] is None


@pytest.mark.usefixtures("_offline")
def test_doctor_targets_as_another_user() -> None:
    """A user without permissions is told which targets can be written; a home that may not be entered is no crash."""
    skip_unless_other_user()
    with public_folder() as folder:
        closed, own = folder / "closed", folder / "own"
        closed.mkdir(mode=0o700)
        own.mkdir()
        own.chmod(0o777)
        for home in (closed / "home", own):
            facts = json.loads(run_as_other_user(AS_OTHER, folder, home, closed))
            target, store = facts["targets"]
            wheelhouse = facts["sources"][0]
            assert (target["value"], target["ok"]) == (str(folder), False)
            assert target["found"] == "not writable, locks work"
            assert (store["ok"], store["found"]) == (None, "not used: MODELBOOT_TARGET is set")
            assert (wheelhouse["value"], wheelhouse["ok"]) == (str(closed), False)
            assert wheelhouse["found"] == "Permission denied"
            *_, store = json.loads(run_as_other_user(AS_OTHER, "", home, closed))["targets"]
            assert store["ok"] == (home == own)
            assert [*own.iterdir()] == []


AS_OTHER = """
import os, sys

folder, home, closed = sys.argv[1:]
os.environ.update(
    MODELBOOT_TARGET=folder, MODELBOOT_HOME=home, MODELBOOT_OFFLINE="1", MODELBOOT_WHEELHOUSE=closed, HOME=closed
)
from modelboot.cli import main

main(["doctor", "--json"])
"""


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("home", ["home", "own"])
def test_doctor_no_target(home: str) -> None:
    """Where nothing can be written the last line says so; the store stands in for no target that was set."""
    skip_unless_other_user()
    with public_folder() as folder:
        (folder / "own").mkdir()
        (folder / "own").chmod(0o777)
        answer = run_as_other_user(AS_OTHER.replace(', "--json"', ""), folder, folder / home, folder)
    assert re.search(
        r"^en_core_web_sm \S+ cannot be installed here: no target can be written$", answer.splitlines()[-1]
    )


def test_doctor_changes_nothing(
    wheel: BuiltWheel, mirror: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is made, changed or opened for writing, wherever it looked: targets, stores, home, working directory."""
    for name in ("target", "home", "user", "cwd", "wheels"):
        (tmp_path / name).mkdir()
    (tmp_path / "wheels" / FILE).write_bytes(b"PK")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "wheels"))
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{mirror.url}/simple/")
    monkeypatch.setenv("PATH", str(tmp_path / "cwd"))  # pip runs rustc, which may set itself up at home
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")  # pip keeps what these send, given an ETag
    for variable in ("PIP_NO_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    page = f'<!DOCTYPE html><a href="/{FILE}">{FILE}</a>'.encode()
    headers = {"Content-Type": "text/html", "ETag": '"1"', "Cache-Control": "max-age=600"}
    mirror.serve("/simple/en-tiny-sm/", Reply(headers=headers, body=page))
    before = snapshot(tmp_path, without=(), strict=True)
    done = subprocess.run(
        [sys.executable, "-B", "-c", AUDITED, wheel.name, wheel.version, wheel.sha256],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path / "cwd",
        env={**os.environ, "PYTHONPATH": str(Path(_doctor.__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "written: []"
    assert {request.path for request in mirror.requests} >= {"/simple/en-tiny-sm/"}
    assert snapshot(tmp_path, without=(), strict=True) == before


AUDITED = """
import os, sys
from modelboot import ModelPin
from modelboot.cli import commands, main

commands.resolve = lambda _, **__: ModelPin(*sys.argv[1:])
written = []

def audit(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.append(str(arguments[0]))
    elif event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.utime"}:
        written.append(f"{event} {arguments[0]}")

sys.addaudithook(audit)
status = main(["doctor"])
print("written:", [path for path in written if path != os.devnull])
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("MODELBOOT_TIMEOUT", "soon", "fix or unset MODELBOOT_TIMEOUT (default 30)"),
        ("MODELBOOT_BASE_URL", "mirror", "fix or unset MODELBOOT_BASE_URL (default the official release)"),
    ],
)
def test_doctor_broken_settings(
    variable: str, value: str, hint: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that cannot be used is still two lines and status 1."""
    monkeypatch.setenv(variable, value)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    error, second = err.splitlines()
    assert out == ""
    assert error.startswith(f"error: {variable}='{value}' is not ")
    assert second.startswith(f"hint: {hint}")


def test_doctor_unknown_model(capsys: Capture) -> None:
    """A model the catalog does not have is two lines, too."""
    assert main(["doctor", "en_none"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: Can't find model 'en_none': the catalog has no pipeline of that name\nhint: "
    )


def test_doctor_text_is_narrow() -> None:
    """A long reason is wrapped below its source, and a long URL shortened to its host and file."""
    reason = "certificate of mirror.example.org not accepted (unable to get local issuer certificate); to trust its CA "
    finding = Probe(
        subject="mirror",
        value=f"https://mirror.example.org:8443/{'deep/' * 20}{FILE}",
        ok=False,
        found=f"{reason}set SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE",
        through="http://proxy.example.org:3128",
        seconds=0.123,
    )
    target = Probe(subject="store", value="/store", ok=True, found="writable, locks work")
    text = DoctorReport(model=f"{NAME} 1.0.0", settings=(), targets=(target,), sources=(finding,)).text()
    assert max(map(len, text.splitlines())) <= 100
    assert f"  no  mirror  https://mirror.example.org:8443/.../{FILE}\n" in text
    words = " ".join(text.split())
    assert f"{finding.found} (through http://proxy.example.org:3128, 0.12 s)" in words


def test_doctor_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path or URL is broken: values that are lists go on below themselves, and a wide one begins there."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    settings = (
        _setting("MODELBOOT_WHEELHOUSE", os.pathsep.join(["/wheels/first", "/wheels/second", "/wheels/third"])),
        _setting("MODELBOOT_HOME", "/home/Ann Example/with a folder/of a long name"),
        _setting("MODELBOOT_TIMEOUT", "30"),
    )
    wheel = Probe(subject="cache", value=f"/c/{'0123456789abcdef' * 4}.whl", ok=True, found="keeps this wheel")
    folder = "/home/Ann Example/venv/lib/python3.13/site-packages"
    target = Probe(subject="environment", value=folder, ok=True, found="writable, locks work")
    report = DoctorReport(model=f"{NAME} 1.0.0", settings=settings, targets=(target,), sources=(wheel,))
    assert report.text().split("\n\n")[1:] == [
        f"""\
settings
  MODELBOOT_WHEELHOUSE  environment  /wheels/first{os.pathsep}
                                     /wheels/second{os.pathsep}
                                     /wheels/third
  MODELBOOT_HOME        environment
    /home/Ann Example/with a folder/of a long name
  MODELBOOT_TIMEOUT     environment  30 s""",
        f"""\
targets, in the order they are tried
  ok  environment
      {folder}
      writable, locks work""",
        """\
sources, in the order they are asked
  ok  cache  /c/0123456789ab....whl
             keeps this wheel""",
        f"""\
{NAME} 1.0.0 would be fetched from cache and installed
into: environment""",
    ]


def _setting(variable: str, value: str) -> Probe:
    return Probe(subject=variable, value=value, ok=True, origin="environment")


def test_doctor_tells_versions(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which programs take part, where pip was found, and what helps where there is none."""
    assert {item.subject for item in _doctor.find_versions()} == {"modelboot", "Python", "spaCy", "pip", "uv"}
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (pip,) = [item for item in _doctor.find_versions() if item.subject == "pip"]
    assert (pip.ok, pip.value) == (False, "none")
    assert pip.found == "sys.executable (empty) is not a Python, so pip cannot be run"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("mirror")
def test_doctor_tells_what_is_installed(capsys: Capture, wheel: BuiltWheel, target: Path) -> None:
    """Where the model is installed already is told, and that it is used from there."""
    ensure_model(wheel.pin_at(None))
    assert main(DOCTOR) == 0
    out = capsys.readouterr().out
    assert re.search(rf"\n{NAME} 1\.0\.0 is installed\n  ok  \S+ +{target}\n +intact\n", out)
    assert out.endswith(f"nothing to do: {NAME} 1.0.0 is installed in: MODELBOOT_TARGET\n")


def test_doctor_names_the_host_behind_a_redirect(mirror: ModelServer, capsys: Capture) -> None:
    """A firewall that knows only the first host lets the second one fail: that one is named."""
    with ModelServer() as second:
        mirror.serve(PATH, Reply(302, {"Location": f"{second.url}/blob?sig=s3cret"}))
        second.serve("/blob", Reply(403))
        assert main([*DOCTOR, "--json"]) == 0
        finding = _finding(capsys, "sources", "mirror")
    assert finding["found"].startswith("HTTP 403 Forbidden")
    assert finding["found"].endswith(f"(at 127.0.0.1:{second.port}, after a redirect)")


def test_doctor_says_that_another_file_is_there(mirror: ModelServer, capsys: Capture) -> None:
    """A hub that names another digest does not have the wheel."""
    mirror.serve(PATH, Reply(headers={"X-Linked-Etag": f'"{"ab" * 32}"'}, body=b"PK"))
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "sources", "mirror")
    assert (finding["ok"], finding["found"]) == (False, f"has another file: sha256 {'ab' * 32}")


@pytest.mark.usefixtures("_offline")
def test_doctor_warns_in_an_environment_of_uv(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an environment that uv made the doctor says what `uv sync` does, and what to do; elsewhere it does not."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert main(DOCTOR) == 0
    assert "uv sync" not in capsys.readouterr().out
    (tmp_path / "pyvenv.cfg").write_text("uv = 0.13.9\n", "utf-8")
    assert main(DOCTOR) == 0
    assert "`uv sync` removes models" in capsys.readouterr().out


@pytest.mark.usefixtures("mirror")
def test_doctor_tells_what_the_model_needs(wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """A requirement that is not met is what comes of it: an install stops there, whichever source has the wheel."""
    pin = wheel.pin_at(None)
    pins = [replace(pin, requires=("nosuchtokenizer>=2", "packaging")), pin]
    monkeypatch.setattr("modelboot.cli.commands.resolve", lambda *_, **__: pins.pop(0))
    assert main(DOCTOR) == 0
    last = " ".join(capsys.readouterr().out.split("\n\n")[-1].split())
    assert last == (f"{NAME} 1.0.0 needs nosuchtokenizer>=2 (not installed): run `pip install 'nosuchtokenizer>=2'`")
    assert main(DOCTOR) == 0
    assert capsys.readouterr().out.endswith(" would be fetched from mirror and installed into: MODELBOOT_TARGET\n")


@pytest.mark.usefixtures("mirror")
def test_doctor_names_the_store_where_the_target_is_taken(
    wheel: BuiltWheel, target: Path, tmp_path: Path, capsys: Capture
) -> None:
    """A package of that name that is not modelboot's stays in the target: the doctor names the store, as an install."""
    (target / NAME).mkdir(parents=True)
    (target / NAME / "__init__.py").touch()
    assert main(DOCTOR) == 0
    out = capsys.readouterr().out
    assert re.search(rf"\n  no  MODELBOOT_TARGET +{target}\n +has one that modelboot may not replace or read\n", out)
    assert out.endswith(f"{NAME} 1.0.0 would be fetched from mirror and installed into: store\n")
    assert ensure_model(wheel.pin_at(None)).path.is_relative_to(tmp_path / "home")


@pytest.mark.usefixtures("_offline")
def test_doctor_reads_a_list_of_certificate_folders(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL takes several folders; the one that is not there is named."""
    for present in ("one", "t#o"):
        (tmp_path / present).mkdir()
    folders = os.pathsep.join(str(tmp_path / name) for name in ("one", "t#o"))
    monkeypatch.setenv("SSL_CERT_DIR", folders)
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "settings", "SSL_CERT_DIR")
    assert (finding["value"], finding["ok"], finding["found"]) == (folders, True, "")
    monkeypatch.setenv("SSL_CERT_DIR", f"{folders}{os.pathsep}{tmp_path / 'three'}")
    assert main([*DOCTOR, "--json"]) == 0
    finding = _finding(capsys, "settings", "SSL_CERT_DIR")
    assert (finding["ok"], finding["found"]) == (False, f"no such folder: {tmp_path / 'three'}")


def test_doctor_ends_where_no_folder_above_the_target_exists(tmp_path: Path) -> None:
    """A target on a drive that is gone, without even a topmost folder, keeps the doctor from nothing."""
    gone = str(tmp_path / "gone")
    done = python(WITHOUT_DRIVE, gone, env={"MODELBOOT_TARGET": gone, "MODELBOOT_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"][0]["value"] == gone


WITHOUT_DRIVE = """
import os, sys
from modelboot.cli import main

gone, exists = sys.argv[1], os.path.exists
os.path.exists = lambda path: not gone.startswith(str(path)) and exists(path)
sys.exit(main(["doctor", "--json"]))
"""


def _finding(capsys: Capture, block: str, subject: str) -> dict[str, Any]:
    """Return the one finding about a subject."""
    (finding,) = [item for item in json.loads(capsys.readouterr().out)[block] if item["subject"] == subject]
    return dict(finding)


def test_doctor_tells_options_from_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """What an option says comes from the command line, also where a variable says something else."""
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "7")
    assert main(["doctor", "--json", "--offline", "--target", str(tmp_path / "here")]) == 0
    found = {item["subject"]: item for item in json.loads(capsys.readouterr().out)["settings"]}
    assert {name: found[f"MODELBOOT_{name}"]["origin"] for name in ("OFFLINE", "TARGET", "TIMEOUT", "RETRIES")} == {
        "OFFLINE": "command line",
        "TARGET": "command line",
        "TIMEOUT": "environment",
        "RETRIES": "default",
    }
    assert found["MODELBOOT_TARGET"]["value"] == str(tmp_path / "here")
