"""Which source is asked when, and what is told of those that failed; the index has its own file."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot._progress import make_progress
from modelboot._settings import Settings
from modelboot._sources.fetch import FetchedWheel, fetch_wheel, make_sources
from modelboot.errors import DownloadError, HashMismatchError, InstallError, OfflineError
from support.children import ENSURE, OTHER, owned, pin_arguments, public_folder, python, skip_unless_other_user
from support.server import Reply
from support.wheels import NAME, VERSION, BuiltWheel, altered

if TYPE_CHECKING:
    from support.server import ModelServer

FILE = f"{NAME}-{VERSION}-py3-none-any.whl"
PLACE = f"{NAME}-{VERSION}/{FILE}"
OWN_URL = "https://example.org/a/my%20wheel.whl?k=1"


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
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return the log from INFO on."""
    caplog.set_level(logging.INFO, "modelboot")
    return caplog


@pytest.mark.parametrize("path", [FILE, PLACE, "renamed.whl"], ids=["name", "release-tree", "hash"])
def test_fetch_wheel_from_wheelhouse(search: Search, mirror: ModelServer, path: str) -> None:
    """A wheelhouse may hold it by its name, as the release tree would, or under another name; no other place is asked.

    Several are searched; one that is not there or holds other wheels does not end the search.
    """
    first, absent = search.house("first", "a.whl", content=b"x"), search.root / "absent"
    fetched = search.fetch(first, absent, search.house("last", path))
    assert (fetched.source, fetched.downloaded_bytes) == ("wheelhouse", 0)
    assert fetched.path.parent == search.stage
    assert not mirror.requests


def test_fetch_wheel_from_wheelhouse_with_odd_entries(search: Search) -> None:
    """A folder or a dead link of such a name hides no wheel behind it; the name is that of the pin's URL, unquoted."""
    house = search.house("house", "my wheel.whl")
    search.house("house", "z.whl", content=b"x")
    (house / "a.whl").mkdir()
    (house / "b.whl").symlink_to("nowhere")
    (house / FILE).mkdir()
    assert search.fetch(house).source == "wheelhouse"
    assert search.fetch(house, url=OWN_URL).source == "wheelhouse"


def test_fetch_wheel_from_mirror(search: Search, mirror: ModelServer, log: pytest.LogCaptureFixture) -> None:
    """What no wheelhouse has comes from the mirror; that the wheelhouse lacks it is not a warning."""
    fetched = search.fetch(search.house("house", "other.whl", content=b"x"))
    assert (fetched.source, fetched.downloaded_bytes) == ("release", search.wheel.size_bytes)
    assert [request.path for request in mirror.requests] == [f"/{PLACE}"]
    assert {record.levelname for record in log.records} == {"INFO"}
    assert "wheelhouse" in log.text


def test_fetch_wheel_of_its_own_url(search: Search, server: ModelServer) -> None:
    """Without a mirror a pin's own URL is asked; a mirror stands in for its host, in the release tree's layout."""
    server.serve("/a/x.whl", Reply(body=search.wheel.content))
    assert search.fetch(url=f"{server.url}/a/x.whl", mirrors=()).source == "release"
    server.serve(f"/{NAME}-{VERSION}/my%20wheel.whl", Reply(body=search.wheel.content))
    assert search.fetch(url=OWN_URL).source == "release"
    with pytest.raises(DownloadError, match="HTTP 404 Not Found") as failed:
        search.fetch(url=f"{server.url}/x.whl", mirrors=())
    assert [attempt.source for attempt in failed.value.attempts] == ["release"]


@pytest.mark.parametrize("offline", [False, True], ids=["online", "offline"])
def test_fetch_wheel_of_a_file(search: Search, mirror: ModelServer, *, offline: bool) -> None:
    """A pin of a file URL takes that file whatever the mirror, and a mirror may be a folder; neither is a network."""
    tree = search.house("mirror", PLACE).as_uri()
    for fetched in (
        search.fetch(url=search.wheel.url, offline=offline),
        search.fetch(mirrors=(tree,), offline=offline, use_index=offline),
    ):
        assert (fetched.source, fetched.downloaded_bytes) == ("release", 0)
    assert not mirror.requests


@pytest.mark.parametrize("place", ["mirror", "official", "own"])
def test_fetch_wheel_offline(search: Search, mirror: ModelServer, place: str) -> None:
    """Offline nothing is asked; the error names the wheel at the mirror, the official or its own URL, and what to run.

    No login is told, and the folders that were searched are.
    """
    own = f"{NAME} @ https://host/assets/77#sha256={search.wheel.sha256}"
    url, reference = {
        "mirror": (f"{mirror.url}/{PLACE}", f"{NAME}=={VERSION}"),
        "official": (search.wheel.pin_at(None).release_url, f"{NAME}=={VERSION}"),
        "own": ("https://host/assets/77", f'"{own}"'),
    }[place]
    house = search.house("house", "other.whl", content=b"x")
    mirrors = (mirror.url.replace("//", "//user:secret@"),) if place == "mirror" else ()
    pinned = "https://ann:secret@host/assets/77" if place == "own" else None
    with pytest.raises(OfflineError, match="MODELBOOT_OFFLINE=1") as missing:
        search.fetch(house, offline=True, use_index=True, mirrors=mirrors, url=pinned)
    assert not mirror.requests
    assert missing.value.url == url
    assert "secret" not in str(missing.value)
    assert f"`modelboot fetch {reference} --dest wheelhouse`" in missing.value.hint
    assert [(attempt.source, attempt.where) for attempt in missing.value.attempts] == [("wheelhouse", str(house))]


def test_fetch_wheel_offline_of_what_a_network_would_not_mend(search: Search) -> None:
    """A file that is missing, and other bytes under the right name, are told as such."""
    with pytest.raises(DownloadError, match="No such file") as missing:
        search.fetch(offline=True, url=(search.root / "absent" / FILE).as_uri())
    assert not isinstance(missing.value, OfflineError)
    with pytest.raises(HashMismatchError, match=f"expected sha256 {search.wheel.sha256}"):
        search.fetch(search.house("house", FILE, content=b"x"), offline=True)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("next_house", [False, True], ids=["mirror", "wheelhouse"])
def test_fetch_wheel_warns_of_other_bytes(search: Search, log: pytest.LogCaptureFixture, *, next_house: bool) -> None:
    """Other bytes at one source are a warning with both digests when another serves, be it not the last that failed."""
    wrong = altered(search.wheel, search.root / "wrong")
    unreadable = search.root / "unreadable"
    unreadable.mkdir()
    (unreadable / FILE).symlink_to("/proc/self/mem")  # reading its first page fails
    search.fetch(wrong.parent, *([search.house("good", FILE)] if next_house else [unreadable]))
    (warning,) = [record.getMessage() for record in log.records if record.levelno == logging.WARNING]
    assert f"expected sha256 {search.wheel.sha256}" in warning
    assert f"({wrong.as_uri()}): got sha256 {hashlib.sha256(wrong.read_bytes()).hexdigest()}" in warning
    assert sum("got sha256" in message for message in log.messages) == 1
    told = f"wheelhouse ({(unreadable / FILE).as_uri()}): Input/output error"
    assert any(message.endswith(told) for message in log.messages) is not next_house


@pytest.mark.parametrize("altered", [False, True], ids=["absent", "other-bytes"])
def test_fetch_wheel_every_source_in_the_error(
    search: Search, server: ModelServer, log: pytest.LogCaptureFixture, *, altered: bool
) -> None:
    """When all sources fail each is named with its place and its reason, in order; one of other bytes refuses all.

    Where the error tells of other bytes, the log does not.
    """
    house, absent = search.house("house", "other.whl", content=b"x"), search.root / "absent"
    server.serve(f"/b/{PLACE}", Reply(body=b"y") if altered else Reply(500))
    with pytest.raises(DownloadError, match="not the pinned bytes" if altered else "could not get") as failed:
        search.fetch(house, absent, mirrors=(server.url, f"{server.url}/b", absent.as_uri()))
    digest = hashlib.sha256(b"y").hexdigest()
    reason = f"got sha256 {digest} in 1 bytes" if altered else "HTTP 500 Internal Server Error"
    nothing = f"no {FILE} and no wheel of that hash (no such folder: {absent})"
    assert [(attempt.source, attempt.where, attempt.reason) for attempt in failed.value.attempts] == [
        ("wheelhouse", f"{house}{os.pathsep}{absent}", nothing),
        ("mirror", f"{server.url}/{PLACE}", "HTTP 404 Not Found"),
        ("mirror", f"{server.url}/b/{PLACE}", reason),
        ("mirror", f"{absent.as_uri()}/{PLACE}", "No such file or directory"),
    ]
    assert [attempt for attempt in failed.value.attempts if str(attempt) not in failed.value.message] == []
    assert isinstance(failed.value, HashMismatchError) is altered
    assert failed.value.attempts[2].got_sha256 == (digest if altered else None)
    assert "got sha256" not in log.text


def test_fetch_wheel_disk_failure_ends_the_search(search: Search, mirror: ModelServer) -> None:
    """A wheel that cannot be written is not asked of the next source."""
    house = search.house("house", FILE)
    search.stage.rmdir()
    with pytest.raises(InstallError, match="No such file or directory"):
        search.fetch(house)
    assert not mirror.requests


def test_fetch_wheel_from_unreadable_wheelhouses(search: Search) -> None:
    """Neither a wheelhouse nor a wheel that may not be read hides the wheel behind it."""
    skip_unless_other_user()
    with public_folder() as root:
        closed, mixed, target = (owned(root / name, 0) for name in ("closed", "mixed", "target"))
        for path in (closed / FILE, mixed / "a.whl", mixed / "b.whl"):
            path.write_bytes(search.wheel.content)
        closed.chmod(0o700)
        (mixed / "a.whl").chmod(0o600)
        target.chmod(0o777)
        env = {"MODELBOOT_WHEELHOUSE": f"{closed}{os.pathsep}{mixed}", "MODELBOOT_TARGET": str(target)}
        done = python(ENSURE, *pin_arguments(search.wheel.pin), user=OTHER, env=env)
        assert done.stdout == "wheelhouse\n", done.stderr
