"""Wheels that are read from disk: within the deadline, once per process, whatever lies in their place."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import pytest

from modelboot import DownloadError, ModelPin, OfflineError, SettingsError, ensure_model
from modelboot.cli import main
from support.children import forked
from support.folders import is_complete, leftovers
from support.interrupts import threads_left
from support.wheels import NAME, VERSION, BuiltWheel, altered

FILE = f"{NAME}-{VERSION}-py3-none-any.whl"
HANGS_S = 60.0


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty wheelhouse, which MODELBOOT_WHEELHOUSE names; there is no network."""
    folder = tmp_path / "house"
    folder.mkdir()
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(folder))
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    return folder


def huge(path: Path) -> None:
    """Make a file that takes many seconds to read and no space."""
    with path.open("wb") as file:
        file.truncate(20 << 30)


def failure(pin: ModelPin) -> str:
    """Have a call fail, and return what it says."""
    with pytest.raises((DownloadError, OfflineError), match=NAME) as failed:
        ensure_model(pin)
    return str(failed.value)


def test_huge_stranger_ends_by_the_deadline(house: Path, monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    """Hashing a wheel of another name ends by the deadline, however large it is."""
    huge(house / "huge.whl")
    monkeypatch.setenv("MODELBOOT_DEADLINE", "0.3")
    assert "deadline of 0.3 s passed" in failure(ModelPin(NAME, VERSION, "0" * 64))
    assert leftovers(target) == []


@pytest.mark.parametrize("name", ["stranger.whl", FILE], ids=["other-name", "pinned-name"])
def test_wheel_of_other_bytes_is_read_once(
    name: str, house: Path, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that ask for one model after another in vain read a file of other bytes once between them."""
    shutil.copy(altered(wheel, tmp_path / "other"), house / name)
    opening = Mock(wraps=os.open)
    monkeypatch.setattr(os, "open", opening)
    for version in ("1.0.0", "1.0.0", "1.0.1"):
        failure(ModelPin(NAME, version, "0" * 64))
    opened = [os.fsdecode(called.args[0]) for called in opening.mock_calls]
    assert [path for path in opened if path.startswith(str(house))] == [str(house / name)]


def test_time_limit_of_a_signal_handler(house: Path, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler raises while a strange wheel is hashed is not that wheel's fault, and comes out as it is."""
    (house / "strange.whl").write_bytes(wheel.content)
    really = os.open

    def interrupted(path: str, *rest: int) -> int:
        if str(path).endswith("strange.whl"):
            signal.raise_signal(signal.SIGALRM)
        return really(path, *rest)

    def reached(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, reached)
    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(TimeoutError):
        ensure_model(wheel.pin_at(None))
    signal.signal(signal.SIGALRM, before)


def test_file_name_that_is_no_utf8(house: Path, wheel: BuiltWheel, target: Path) -> None:
    """A name in an old encoding, as network drives have them, is as good as any, of the wheel or a stranger."""
    Path(os.fsdecode(os.fsencode(house) + b"/caf\xe9.whl")).write_bytes(b"PK other")
    Path(os.fsdecode(os.fsencode(house) + b"/caf\xea.whl")).write_bytes(wheel.content)
    assert ensure_model(wheel.pin_at(None)).source == "wheelhouse"
    assert is_complete(target, wheel.pin)


@pytest.mark.parametrize("name", [b"caf\xe9.whl", "a b%20ü#?.whl".encode()], ids=["no-utf8", "quoted"])
def test_file_url(wheel: BuiltWheel, tmp_path: Path, target: Path, name: bytes) -> None:
    """A file URL may name any file; it is copied, and stays as it is."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    shutil.copy(wheel.path, odd)
    assert ensure_model(wheel.pin_at(odd.as_uri())).source == "release"
    assert is_complete(target, wheel.pin)
    assert odd.read_bytes() == wheel.content


PLACES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "absent": (lambda _: None, "No such file or directory", "missing"),
    "folder": (Path.mkdir, "not a regular file", "missing"),
    "fifo": (os.mkfifo, "not a regular file", "missing"),
    "too-large": (huge, "declares 21,474,836,480 bytes, more than the 3,932,160 expected", "other"),
    # Its first page, address 0, is never mapped, so reading it fails as a worn-out disk does.
    "unreadable": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error", "other"),
    "other": (lambda path: path.write_bytes(b"x"), f"got sha256 {sha256(b'x').hexdigest()} in 1 bytes", "bytes"),
}


@pytest.mark.parametrize("place", PLACES)
def test_file_url_of_no_wheel(wheel: BuiltWheel, tmp_path: Path, target: Path, place: str) -> None:
    """What is not the wheel is refused in words, at once: no call waits for the writer of a FIFO."""
    put, *told = PLACES[place]
    put(tmp_path / FILE)
    with pytest.raises(DownloadError, match=NAME) as failed:
        ensure_model(replace(wheel.pin_at((tmp_path / FILE).as_uri()), size_mb=1))
    assert [[attempt.reason, attempt.kind] for attempt in failed.value.attempts] == [told]
    assert leftovers(target) == []
    assert not threads_left()


@pytest.mark.parametrize("name", ["RECORD", "INSTALLER", "direct_url.json", "entry_points.txt"])
def test_fifo_in_a_dist_info(wheel: BuiltWheel, target: Path, name: str) -> None:
    """A FIFO in place of a file of the dist-info blocks no command: not `list`, not `verify`, not the next install."""
    ensure_model(wheel.pin)
    (target / f"{NAME}-{VERSION}.dist-info" / name).unlink()
    os.mkfifo(target / f"{NAME}-{VERSION}.dist-info" / name)
    (told,) = forked([lambda: [main(["list"]), main(["verify", NAME]), ensure_model(wheel.pin).version]])
    assert told in ([0, verified, VERSION] for verified in (0, 1))


@pytest.mark.parametrize("null", ["%00", "\0"], ids=["quoted", "as-it-is"])
def test_null_byte(wheel: BuiltWheel, target: Path, null: str) -> None:
    """No file and no folder can have that name: the source is told, or the argument refused, not the machine blamed."""
    assert "): a file name cannot contain a null byte\n" in failure(wheel.pin_at(f"file:///tmp/a{null}b/{FILE}"))
    assert leftovers(target) == []
    with pytest.raises(SettingsError, match="is not a folder"):
        ensure_model(wheel.pin, target="a\0b")
    with pytest.raises(SettingsError, match="is not a folder"):
        ensure_model(wheel.pin, wheelhouse=["a\0b"])
