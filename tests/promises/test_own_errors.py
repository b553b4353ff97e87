"""No `except OSError` of the package swallows or wraps an error of its own, although many of those are OSError."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import spacy

from modelboot import InstallError, ModelbootError, ensure_model, load
from modelboot._install import install, lock, provision, uninstall
from modelboot._install.installed import list_installed
from modelboot._install.target import Target
from modelboot._limits import Deadline
from modelboot._network.client import HttpClient
from modelboot._network.file_url import open_file
from modelboot._settings import Settings
from modelboot.cli import main
from modelboot.cli.interrupted import what_is_kept
from support.handlers import Guarded, Package
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

REVIEWED = {
    "modelboot._network.partial._translating_errors": "its with blocks are PartialFile's, on its own file alone",
    "modelboot._sources.wheelhouse_hashes._translating_errors": "its with blocks read one file",
    "modelboot.cli.parser.__call__": "its with block writes one line to a standard stream",
    "modelboot._install.preload._import": "what it imports is imported again by whoever needs it, who then fails",
}
"""What runs nothing of modelboot's although it might, and what fails again where it is heard."""


@pytest.fixture(scope="module")
def guarded() -> list[Guarded]:
    """Return every block of the package whose OSErrors are caught."""
    return [*Package().guarded()]


def test_each_handler_lets_ours_through(guarded: list[Guarded]) -> None:
    """Wherever one of ours may come by, a handler before that for OSError lets it through."""
    assert len(guarded) > 60  # or the search has found nothing
    assert {each.where: each.risky for each in guarded if each.risky and not each.lets_ours_through}.keys() == {
        *REVIEWED
    }


def test_each_handler_that_lets_ours_through_is_tried(guarded: list[Guarded]) -> None:
    """There is a test below for each of them."""
    assert {each.where for each in guarded if each.lets_ours_through} == {*SITES, *REVIEWED_BY_HAND}


class Site:
    """What a case below may use, and the error that comes up inside."""

    def __init__(self, tiny: BuiltWheel, settings: Settings, folder: Path, server: ModelServer) -> None:
        """Keep them."""
        self.pin, self.content, self.settings, self.folder, self.server = (
            tiny.pin,
            tiny.content,
            settings,
            folder,
            server,
        )
        self.error = InstallError(model="ours", path="/ours", fault="space", reason="no room")

    def fail(self, *_: object, **__: object) -> NoReturn:
        """Stand in for whatever raises it."""
        raise self.error


def _ensure(site: Site, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(install, "check_requirements", site.fail)
    ensure_model(site.pin)


def _provision(site: Site, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(provision, "fetch_wheel", site.fail)
    provision.provision(site.pin, site.folder / "dest", site.settings)


def _uninstall(site: Site, patch: pytest.MonkeyPatch) -> None:
    ensure_model(site.pin, target=site.folder / "there")
    (installed,) = list_installed([Target("there", site.folder / "there")])
    patch.setattr(uninstall, "_move_out", site.fail)
    uninstall.uninstall(installed, Deadline.after(10))


def _lock(site: Site, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lock, "_wait", site.fail)
    path = site.folder / "model.lock"
    held = lock.try_lock(path)
    try:
        with lock.locked(path, str(site.pin), Deadline.after(10)):
            pytest.fail("two hold one lock")
    finally:
        lock.unlock(held or 0)


def _stream(site: Site, _: pytest.MonkeyPatch) -> None:
    site.server.serve("/x", Reply(body=b"x"))
    limits = site.settings.limits()
    with HttpClient(limits, site.settings.trust_env) as client, client.stream(f"{site.server.url}/x"):
        site.fail()


def _file(site: Site, _: pytest.MonkeyPatch) -> None:
    with open_file(site.pin.release_url):
        site.fail()


def _load(site: Site, patch: pytest.MonkeyPatch) -> None:
    ensure_model(site.pin)
    patch.setattr(spacy, "load", site.fail)
    load(site.pin)


SITES: dict[str, Callable[[Site, pytest.MonkeyPatch], None]] = {
    "modelboot._install.ensure.ensure": _ensure,
    "modelboot._install.lock.locked": _lock,
    "modelboot._install.provision.provision": _provision,
    "modelboot._install.uninstall.uninstall": _uninstall,
    "modelboot._network.client._translating_errors": _stream,
    "modelboot._network.file_url.open_file": _file,
    "modelboot._spacy.load._load_pin": _load,
}
REVIEWED_BY_HAND = {"modelboot.cli.run._run", "modelboot.cli.interrupted.what_is_kept"}
"""They end in what is printed, and are tried in the last two tests."""


@pytest.mark.parametrize("where", SITES)
def test_our_error_comes_out_as_it_is(  # noqa: PLR0913, PLR0917 - fixtures
    where: str,
    tiny: BuiltWheel,
    settings: Settings,
    tmp_path: Path,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The very error that was raised inside comes out, not another about it."""
    site = Site(tiny, settings, tmp_path, server)
    with pytest.raises(ModelbootError) as caught:
        SITES[where](site, monkeypatch)
    assert caught.value is site.error


def test_our_error_of_another_model_comes_out_after_a_repair(
    tiny: BuiltWheel, tmp_path: Path, settings: Settings, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the pipeline was damaged, and only the load after the repair asks for the other model."""
    site = Site(tiny, settings, tmp_path, server)
    config = ensure_model(tiny.pin).path / "config.cfg"
    config.write_bytes(bytes(config.stat().st_size))
    real, seen = spacy.load, []

    def broken_then_asking(path: Path, **options: object) -> object:
        seen.append(path)
        return real(path, **options) if len(seen) == 1 else site.fail()  # type: ignore[arg-type]  # whatever was given

    monkeypatch.setattr(spacy, "load", broken_then_asking)
    with pytest.raises(InstallError) as caught:
        load(tiny.pin)
    assert (caught.value is site.error, len(seen)) == (True, 2)


def test_our_error_has_its_own_hint_at_the_command_line(
    tiny: BuiltWheel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of ours is told in its own words, not in those for whatever the system refuses."""
    error = InstallError(model="ours", path="/ours", fault="space", reason="no room")

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(install, "check_requirements", fail)
    assert main(["install", f"{tiny.name} @ {tiny.url}#sha256={tiny.sha256}"]) == 1
    assert capsys.readouterr().err == f"error: {error.message}\nhint: {error.hint}\n"


def test_our_error_is_no_news_after_an_interruption() -> None:
    """Who presses Ctrl-C while a name is looked for that does not exist is told that nothing is left, and no more."""
    assert what_is_kept(Namespace(models=["en_typo"])) == "nothing unfinished was left; run it again"
