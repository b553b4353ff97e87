"""Which source is asked when, and what is told of those that failed."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot._progress import make_progress
from modelboot._settings import Settings, read_settings
from modelboot._sources.fetch import FetchedWheel, fetch_wheel, make_sources
from modelboot.errors import DownloadError, HashMismatchError, InstallError, OfflineError
from support.children import public_folder, run_as_other_user, skip_unless_other_user
from support.server import Reply
from support.sources import point_pip_at, publish_to_index
from support.wheels import NAME, VERSION, BuiltWheel, altered

if TYPE_CHECKING:
    from support.server import ModelServer

FILE = f"{NAME}-{VERSION}-py3-none-any.whl"
PLACE = f"{NAME}-{VERSION}/{FILE}"
REAL_PIP = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")


@dataclass(frozen=True)
class Search:
    """A search for a wheel: the folder it is put into, and where to look, by settings."""

    wheel: BuiltWheel
    root: Path
    settings: Settings

    @property
    def stage(self) -> Path:
        """Where the wheel is put."""
        return self.root / "stage"

    def house(self, name: str, path: str, *, content: bytes | None = None) -> Path:
        """Make a wheelhouse that holds the wheel, or other bytes, under a path."""
        file = self.root / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.wheel.content if content is None else content)
        return self.root / name

    def fetch(self, *houses: Path, url: str | None = None, **settings: object) -> FetchedWheel:
        """Fetch the wheel and see that it is the pinned one."""
        chosen = self.settings._replace(wheelhouse=houses, **settings)  # type: ignore[arg-type]  # each test's own
        progress = make_progress(chosen.progress)
        fetched = fetch_wheel(self.wheel.pin_at(url), self.stage, make_sources(chosen), chosen.limits(), progress)
        assert fetched.path.read_bytes() == self.wheel.content
        return fetched


@pytest.fixture
def search(wheel: BuiltWheel, server: ModelServer, settings: Settings, tmp_path: Path) -> Search:
    """Return a search on the server as mirror; there is no wheelhouse, and the index may not be asked."""
    (tmp_path / "stage").mkdir()
    return Search(wheel, tmp_path, settings._replace(mirrors=(server.url,), timeout_s=10.0, retries=0))


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take Python away: asking the index fails at once."""
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(sys, "prefix", "/nowhere")


def test_fetch_wheel_wheelhouse_first(search: Search, mirror: ModelServer) -> None:
    """What a wheelhouse has is asked of nobody else."""
    assert search.fetch(search.house("house", FILE), use_index=True) == FetchedWheel(
        path=search.stage / f"{search.wheel.sha256}.whl", source="wheelhouse", downloaded_bytes=0
    )
    assert not mirror.requests


def test_fetch_wheel_mirror_second(search: Search, mirror: ModelServer) -> None:
    """What no wheelhouse has comes from the mirror, and the index is not asked."""
    fetched = search.fetch(search.house("house", "other.whl", content=b"x"), use_index=True)
    assert (fetched.source, fetched.downloaded_bytes) == ("release", search.wheel.size_bytes)
    assert [request.path for request in mirror.requests] == [f"/{PLACE}"]
    assert not (search.stage / "index").exists()


@REAL_PIP
def test_fetch_wheel_index_last(search: Search, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What neither wheelhouse nor mirror has comes from the index, through pip."""
    publish_to_index(server, search.wheel.path)
    point_pip_at(server.url, monkeypatch)
    fetched = search.fetch(search.house("house", "other.whl", content=b"x"), use_index=True)
    assert (fetched.source, fetched.downloaded_bytes) == ("index", search.wheel.size_bytes)
    asked = [request.path for request in server.requests]
    assert (asked[0], asked[-1]) == (f"/{PLACE}", f"/files/{FILE}")


@pytest.mark.parametrize("path", [FILE, PLACE, "renamed.whl"], ids=["name", "release-tree", "hash"])
def test_fetch_wheel_from_wheelhouse(search: Search, path: str) -> None:
    """A wheelhouse may hold the wheel by its name, as the release tree would, or under another name."""
    assert search.fetch(search.house("house", path), mirrors=()).source == "wheelhouse"


@pytest.mark.parametrize("path", [FILE, PLACE, "renamed.whl"], ids=["name", "release-tree", "hash"])
def test_fetch_wheel_from_second_wheelhouse(search: Search, path: str) -> None:
    """Several wheelhouses are searched; one that is not there or holds other wheels does not end the search."""
    first, absent = search.house("first", "a.whl", content=b"x"), search.root / "absent"
    assert search.fetch(first, absent, search.house("last", path)).source == "wheelhouse"


def test_fetch_wheel_wheelhouse_name_of_url(search: Search) -> None:
    """The name looked for is that of the pin's URL, unquoted."""
    house = search.house("house", "my wheel.whl")
    search.house("house", "another.whl", content=b"x")
    assert search.fetch(house, url="https://example.org/my%20wheel.whl").source == "wheelhouse"


def test_fetch_wheel_wheelhouse_with_odd_entries(search: Search) -> None:
    """A folder or a dead link whose name ends like a wheel's does not hide the wheel behind it."""
    house = search.house("house", "z.whl")
    (house / "a.whl").mkdir()
    (house / "b.whl").symlink_to("nowhere")
    (house / FILE).mkdir()
    assert search.fetch(house).source == "wheelhouse"


def test_fetch_wheel_mirror_replaces_pins_own_url(search: Search, server: ModelServer) -> None:
    """A mirror stands in for the host of a pin's own URL, too, under the release tree's layout."""
    server.serve(f"/{NAME}-{VERSION}/x.whl", Reply(body=search.wheel.content))
    assert search.fetch(url="https://example.org/a/x.whl?k=1").source == "release"


def test_fetch_wheel_pins_own_url(search: Search, server: ModelServer) -> None:
    """Without a mirror a pin's own URL is asked."""
    server.serve("/a/x.whl", Reply(body=search.wheel.content))
    assert search.fetch(url=f"{server.url}/a/x.whl", mirrors=()).source == "release"


def test_fetch_wheel_mirror_does_not_replace_a_file(search: Search, mirror: ModelServer) -> None:
    """A pin of a file URL takes that file, and nothing came over the network."""
    fetched = search.fetch(url=search.wheel.url)
    assert (fetched.source, fetched.downloaded_bytes) == ("release", 0)
    assert not mirror.requests


def test_fetch_wheel_mirror_of_files(search: Search) -> None:
    """A mirror may be a folder, also offline."""
    fetched = search.fetch(mirrors=(search.house("mirror", PLACE).as_uri(),), offline=True, use_index=True)
    assert (fetched.source, fetched.downloaded_bytes) == ("release", 0)


@pytest.mark.usefixtures("no_pip")
def test_fetch_wheel_offline_asks_nothing(search: Search, mirror: ModelServer) -> None:
    """Offline neither mirror nor index is asked, and the error names the wheel and what was searched."""
    url = f"{mirror.url}/{PLACE}"
    house = search.house("house", "other.whl", content=b"x")
    with pytest.raises(OfflineError, match="MODELBOOT_OFFLINE=1") as missing:
        search.fetch(house, offline=True, use_index=True)
    assert not mirror.requests
    assert missing.value.url == url
    assert [(attempt.source, attempt.where) for attempt in missing.value.attempts] == [("wheelhouse", str(house))]


def test_fetch_wheel_offline_names_the_official_release(search: Search) -> None:
    """Offline with no mirror the URL named is the official one."""
    with pytest.raises(OfflineError, match=r"1\.0\.0 is not installed") as missing:
        search.fetch(offline=True, mirrors=())
    assert missing.value.url == search.wheel.pin_at(None).release_url
    assert missing.value.attempts == ()


def test_fetch_wheel_offline_names_no_credentials(search: Search) -> None:
    """Offline the mirror's user and password are not told."""
    with pytest.raises(OfflineError, match=r"http://mirror\.example/\S+ may not be fetched offline") as missing:
        search.fetch(offline=True, mirrors=("http://user:secret@mirror.example",))
    assert "secret" not in str(missing.value)


def test_fetch_wheel_offline_of_a_file(search: Search) -> None:
    """A file needs no network: where it is missing, that is what is told."""
    with pytest.raises(DownloadError, match="No such file") as missing:
        search.fetch(offline=True, url=(search.root / "absent" / FILE).as_uri())
    assert not isinstance(missing.value, OfflineError)


def test_fetch_wheel_offline_of_a_wheel_of_its_own(search: Search) -> None:
    """What `modelboot fetch` takes is named: a name alone says nothing of a wheel that the catalog does not know."""
    with pytest.raises(OfflineError, match="may not be fetched offline") as missing:
        search.fetch(offline=True, mirrors=(), url="https://ann:secret@host/assets/77")
    reference = f"{search.wheel.name} @ https://host/assets/77#sha256={search.wheel.sha256}"
    assert f'`modelboot fetch "{reference}" --dest wheelhouse`' in missing.value.hint


def test_fetch_wheel_offline_wheelhouse_of_other_bytes(search: Search) -> None:
    """Offline wrong bytes under the right name are told as such: a network would not help."""
    with pytest.raises(HashMismatchError, match=f"expected sha256 {search.wheel.sha256}"):
        search.fetch(search.house("house", FILE, content=b"x"), offline=True)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("where", ["wheelhouse", "first-wheelhouse", "mirror-file"])
def test_fetch_wheel_warns_of_other_bytes(search: Search, caplog: pytest.LogCaptureFixture, where: str) -> None:
    """Wrong bytes at one source are a warning with both digests when another serves; else the error tells, once."""
    caplog.set_level(logging.INFO, "modelboot")
    wrong = altered(search.wheel, search.root / "wrong")
    if where == "mirror-file":
        with pytest.raises(HashMismatchError, match="got sha256"):
            search.fetch(mirrors=(search.house("mirror", PLACE, content=wrong.read_bytes()).as_uri(),))
        assert not any("got sha256" in record.getMessage() for record in caplog.records)
        return
    if where == "wheelhouse":
        assert search.fetch(wrong.parent).source == "release"
    else:
        assert search.fetch(wrong.parent, search.house("good", FILE)).source == "wheelhouse"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert search.wheel.sha256 in warning
    assert hashlib.sha256(wrong.read_bytes()).hexdigest() in warning


@pytest.mark.usefixtures("mirror")
def test_fetch_wheel_warns_of_the_right_attempt(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    """Of several attempts at one source the one with wrong bytes is warned of, also when it was not the last."""
    wrong = altered(search.wheel, search.root / "wrong")
    unreadable = search.root / "unreadable"
    unreadable.mkdir()
    (unreadable / FILE).symlink_to("/proc/self/mem")  # reading its first page fails
    caplog.set_level(logging.INFO, "modelboot")
    assert search.fetch(wrong.parent, unreadable).source == "release"
    told = [(record.levelname, record.getMessage()) for record in caplog.records if " (file://" in record.getMessage()]
    assert [level for level, _ in told] == ["INFO", "WARNING"]
    assert told[0][1].endswith(f"wheelhouse ({(unreadable / FILE).as_uri()}): Input/output error")
    assert f"wheelhouse ({wrong.as_uri()}): got sha256" in told[1][1]


@pytest.mark.usefixtures("mirror")
def test_fetch_wheel_warns_nothing_of_other_failures(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    """A source that merely lacks the wheel is no warning."""
    caplog.set_level(logging.INFO, "modelboot")
    search.fetch(search.house("house", "other.whl", content=b"x"))
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert "wheelhouse" in caplog.text


@pytest.mark.usefixtures("no_pip")
def test_fetch_wheel_every_source_in_the_error(search: Search, server: ModelServer) -> None:
    """When all sources fail each is named with its place and its reason, in order."""
    house, absent = search.house("house", "other.whl", content=b"x"), search.root / "absent"
    with pytest.raises(DownloadError, match="could not get") as failed:
        search.fetch(house, absent, use_index=True)
    assert not isinstance(failed.value, HashMismatchError)
    assert [(attempt.source, attempt.where, attempt.reason) for attempt in failed.value.attempts] == [
        (
            "wheelhouse",
            f"{house}{os.pathsep}{absent}",
            f"no {FILE} and no wheel of that hash (no such folder: {absent})",
        ),
        ("mirror", f"{server.url}/{PLACE}", "HTTP 404 Not Found"),
        ("index", "pip download", "sys.executable (empty) is not a Python, so pip cannot be run"),
    ]
    for attempt in failed.value.attempts:
        assert str(attempt) in failed.value.message


@pytest.mark.usefixtures("no_pip")
def test_fetch_wheel_wrong_bytes_among_failures(search: Search, server: ModelServer) -> None:
    """One source with wrong bytes makes the whole a refusal; the other sources' reasons stay in it."""
    server.serve(f"/{PLACE}", Reply(body=b"x"))
    with pytest.raises(HashMismatchError, match="not the pinned bytes") as failed:
        search.fetch(search.house("house", FILE, content=b"y"), use_index=True)
    assert [attempt.got_sha256 for attempt in failed.value.attempts] == [
        hashlib.sha256(b"y").hexdigest(),
        hashlib.sha256(b"x").hexdigest(),
        None,
    ]


def test_fetch_wheel_official_release_is_named_so(search: Search, server: ModelServer) -> None:
    """Without a mirror the source is called the release."""
    with pytest.raises(DownloadError, match="HTTP 404 Not Found") as failed:
        search.fetch(url=f"{server.url}/x.whl", mirrors=())
    assert [attempt.source for attempt in failed.value.attempts] == ["release"]


def test_fetch_wheel_index_switched_off(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """MODELBOOT_INDEX=0 keeps pip from being started."""

    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("a program was started")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    use_index = read_settings({"MODELBOOT_INDEX": "0"}).use_index
    with pytest.raises(DownloadError, match="HTTP 404 Not Found") as failed:
        search.fetch(use_index=use_index)
    assert [attempt.source for attempt in failed.value.attempts] == ["mirror"]


def test_fetch_wheel_disk_failure_ends_the_search(search: Search, mirror: ModelServer) -> None:
    """A wheel that cannot be written is not asked of the next source."""
    house = search.house("house", FILE)
    search.stage.rmdir()
    with pytest.raises(InstallError, match="No such file or directory"):
        search.fetch(house)
    assert not mirror.requests


CHILD = """
import sys
from pathlib import Path
from modelboot import ModelPin
from modelboot._progress import make_progress
from modelboot._settings import Settings
from modelboot._sources.fetch import fetch_wheel, make_sources
houses = tuple(map(Path, sys.argv[4:]))
settings = Settings(wheelhouse=houses, offline=True)
pin = ModelPin(sys.argv[1], "1.0.0", sys.argv[2])
fetched = fetch_wheel(pin, Path(sys.argv[3]), make_sources(settings), settings.limits(), make_progress(False))
sys.stdout.write(fetched.source)
"""


def test_fetch_wheel_unreadable_wheelhouses(search: Search) -> None:
    """Neither a wheelhouse nor a wheel that may not be read hides the wheel behind it."""
    skip_unless_other_user()
    with public_folder() as root:
        closed, mixed, stage = (root / name for name in ("closed", "mixed", "stage"))
        for folder in (closed, mixed, stage):
            folder.mkdir()
        for path in (closed / FILE, mixed / "a.whl", mixed / "b.whl"):
            path.write_bytes(search.wheel.content)
        closed.chmod(0o700)
        (mixed / "a.whl").chmod(0o600)
        stage.chmod(0o777)
        assert run_as_other_user(CHILD, NAME, search.wheel.sha256, stage, closed, mixed) == "wheelhouse"
