"""Every damage to an installed model heals on the next plain call; trouble of the machine is never taken for damage."""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import shutil
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import Mock

import pytest
import spacy

from modelboot import DownloadError, InstallError, LoadError, ModelPin, ensure_model, get_nlp, load
from support.children import STUB_SPACY, pin_arguments, python
from support.folders import dist_infos, is_complete, leftovers, snapshot
from support.wheels import BuiltWheel, Tampering, build_wheel, unzipped

if TYPE_CHECKING:
    from support.server import ModelServer

NAME = "af_tiny_sm"
PACKAGE, DATA, DIST_INFO = NAME, f"{NAME}/{NAME}-1.0.0", f"{NAME}-1.0.0.dist-info"
CONFIG, RECORD = f"{DATA}/config.cfg", f"{DIST_INFO}/RECORD"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of a tiny Afrikaans pipeline: English has rules for a tokenizer that takes 0.1 s to build."""
    return build_wheel(tmp_path_factory.mktemp("af_tiny"), name=NAME, lang="af")


@pytest.fixture
def installed(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the model on sys.path; return the target."""
    ensure_model(tiny_pin)
    monkeypatch.syspath_prepend(str(target))
    return target


def gone(path: Path) -> None:
    """Remove a file, or a folder and all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def emptied(path: Path) -> None:
    """Leave nothing of a file or folder but its name."""
    is_folder = path.is_dir()
    gone(path)
    path.mkdir() if is_folder else path.touch()


def cut(path: Path) -> None:
    """Cut a file short: RECORD in the middle of a hash."""
    os.truncate(path, path.stat().st_size - 20)


def altered(path: Path) -> None:
    """Write other bytes over a file, as many as it had."""
    path.write_bytes(b"\xc1" * path.stat().st_size)


def now_a_file(path: Path) -> None:
    """Put a file where a folder was."""
    gone(path)
    path.write_bytes(b"x")


def now_a_dangling_link(path: Path) -> None:
    """Put a link that leads nowhere where a folder was."""
    gone(path)
    path.symlink_to("nowhere")


def beside_another_version(dist_info: Path) -> None:
    """Leave an older dist-info of modelboot's beside the right one."""
    other = dist_info.with_name(f"{NAME}-0.9.0.dist-info")
    other.mkdir()
    (other / "INSTALLER").write_text("modelboot\n")
    (other / "RECORD").write_text(f"{NAME}/__init__.py,,1\n{other.name}/RECORD,,\n{other.name}/INSTALLER,,\n")


Damage = tuple[tuple[Callable[[Path], None], str], ...]
"""What is done to which parts of a model, one after another."""
DAMAGES: list[Damage] = [
    ((gone, PACKAGE),),
    ((emptied, PACKAGE),),
    ((gone, f"{PACKAGE}/__init__.py"),),
    ((gone, DATA),),
    ((gone, f"{DIST_INFO}/METADATA"),),
    ((beside_another_version, DIST_INFO), (gone, PACKAGE)),
    *(((how, CONFIG),) for how in (gone, cut, altered)),
    *(((altered, f"{DATA}/{file}"),) for file in ("meta.json", "tokenizer", "vocab/strings.json")),
]
"""Damages that are mended where the model lies, one of each kind."""
UNPROVEN: list[Damage] = [
    ((gone, DIST_INFO),),
    ((emptied, DIST_INFO),),
    ((gone, PACKAGE), (emptied, DIST_INFO)),
    *(((how, RECORD),) for how in (gone, cut, emptied, altered)),
    ((now_a_file, PACKAGE),),
    ((now_a_dangling_link, PACKAGE),),
]
"""Damages after which nothing proves that what is there is modelboot's: it stays, and the store stands in."""
IMPORTED = [DAMAGES[0], DAMAGES[2], DAMAGES[3], DAMAGES[8], UNPROVEN[0], UNPROVEN[3]]
"""Damages that are also tried in a process that has imported the model."""
CASES = [*itertools.product([*DAMAGES, *UNPROVEN], ["new"]), *itertools.product(IMPORTED, ["loaded", "imported"])]


def told(case: Damage | str) -> str:
    """Return the name of a damage or of a kind of process."""
    return case if isinstance(case, str) else ", ".join(f"{part} {how.__name__}" for how, part in case)


@pytest.mark.parametrize(("damage", "process"), CASES, ids=told)
def test_damage_heals_on_the_next_call(damage: Damage, process: str, tiny_pin: ModelPin, installed: Path) -> None:
    """Whatever is broken, a plain call loads the pinned model: put back, or from the store where it may not be.

    So does a process that loaded it whole before, or imported the broken one (a namespace package, say).
    """
    if process == "loaded":
        get_nlp(tiny_pin)
        get_nlp.cache_clear()
    for how, part in damage:
        how(installed / part)
    if process == "imported":
        import_broken()
    before = snapshot(installed)
    folder = assert_healed(tiny_pin)
    if damage in UNPROVEN:
        assert folder != installed
        assert snapshot(installed) == before
    else:
        assert folder == installed
        module = importlib.import_module(NAME)
        assert (module.__file__, module.__version__) == (str(installed / NAME / "__init__.py"), "1.0.0")


def import_broken() -> None:
    """Import the package as a program would, from sys.path, whatever state it is in."""
    sys.path_importer_cache.clear()
    try:
        importlib.import_module(NAME)
    except Exception:  # noqa: BLE001 - it is broken
        sys.modules.pop(NAME, None)


def assert_healed(pin: ModelPin) -> Path:
    """Demand that the next plain call loads the pinned version, one whole model and nothing else; return its folder."""
    nlp = get_nlp(pin)
    assert nlp.meta["version"] == pin.version
    assert len(list(nlp("One. Two.").sents)) == 2
    folder = Path(str(nlp.path)).parents[1]
    assert is_complete(folder, pin)
    assert dist_infos(folder) == [DIST_INFO]
    assert leftovers(folder, pin) == []
    return folder


def test_second_dist_info_beside_a_whole_model_is_no_damage(tiny_pin: ModelPin, installed: Path) -> None:
    """An older dist-info left behind does not hide the whole model; a warm start removes nothing."""
    beside_another_version(installed / DIST_INFO)
    before = snapshot(installed)
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"
    assert snapshot(installed) == before


def test_damage_to_a_store_copy_heals(tiny_pin: ModelPin, target: Path) -> None:
    """A damaged copy in modelboot's own store is replaced as a whole; one that looks intact, where it lies."""
    other = target / f"{NAME}-0.1.dist-info"  # of another program, whose folder this is
    other.mkdir(parents=True)
    folder = ensure_model(tiny_pin).path.parents[1]
    assert folder != target
    cut(folder / CONFIG)
    assert assert_healed(tiny_pin) == folder
    get_nlp.cache_clear()
    other.rmdir()
    altered(folder / CONFIG)
    assert assert_healed(tiny_pin) == folder


def test_altered_copy_in_the_environment_that_has_a_users_file(
    tiny_pin: ModelPin, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays as it is; the store stands in, and not the user site, which is searched after it."""
    monkeypatch.delenv("MODELBOOT_TARGET")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(installed))
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path / "user"))
    altered(installed / CONFIG)
    (installed / NAME / "notes.txt").touch()
    before = snapshot(installed)
    assert assert_healed(tiny_pin).parent == tmp_path / "home"
    assert snapshot(installed) == before


def test_damage_is_told(tiny_pin: ModelPin, installed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning names the model and the altered file, from `load` as from `get_nlp`.

    An install that finds all files with their sizes hashes none.
    """
    altered(installed / CONFIG)
    assert ensure_model(tiny_pin).source == "present"
    assert load(tiny_pin).meta["version"] == "1.0.0"
    warned = f"{NAME} 1.0.0 is damaged and is installed again: {CONFIG} was altered"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [warned]


def test_damage_is_mended_once(tiny_pin: ModelPin, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that spaCy refuses when it is whole again, too, is not installed a third time."""
    altered(installed / CONFIG)
    refuse = Mock(side_effect=ValueError("refused"))
    monkeypatch.setattr(spacy, "load", refuse)
    with pytest.raises(LoadError, match="ValueError: refused"):
        get_nlp(tiny_pin)
    assert (refuse.call_count, is_complete(installed, tiny_pin)) == (2, True)


def test_altered_code_that_was_run_is_imported_anew(tmp_path: Path, target: Path) -> None:
    """Altered code of the package heals, although it was imported with the wrong bytes first."""
    code = {f"{NAME}/__init__.py": b"STATE = 'right'\n"}
    pin = build_wheel(tmp_path, name=NAME, lang="af", tampering=Tampering(extra=code)).pin
    ensure_model(pin)
    (target / NAME / "__init__.py").write_bytes(b"STATE = 'wrong'\n")
    altered(target / CONFIG)
    assert get_nlp(pin).meta["version"] == "1.0.0"
    assert sys.modules[NAME].STATE == "right"


def test_damage_without_a_source_stays(tiny: BuiltWheel, installed: Path, server: ModelServer) -> None:
    """Where the wheel can no longer be had, the damage is left as it is and the failure says what could not be got."""
    altered(installed / CONFIG)
    before = snapshot(installed / NAME, without=(), strict=True)
    with pytest.raises(DownloadError, match=f"could not get {NAME} 1"):
        get_nlp(tiny.pin_at(f"{server.url}/{tiny.path.name}"))
    assert snapshot(installed / NAME, without=(), strict=True) == before


def replaced(target: Path) -> None:
    """Put another version there, as another program does."""
    shutil.rmtree(target)
    unzipped(build_wheel(target.with_name("newer"), name=NAME, version="2.0.0", lang="af"), target)


def no_longer_proven(target: Path) -> None:
    """Take away what proves whose the model is, and a file of it."""
    (target / RECORD).unlink()
    (target / CONFIG).unlink()


def damaged(target: Path) -> None:
    """Remove a file that the look has found."""
    (target / CONFIG).unlink()


@pytest.mark.parametrize("meanwhile", [replaced, no_longer_proven, damaged])
def test_change_while_loading(
    meanwhile: Callable[[Path], None], tiny_pin: ModelPin, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another program does to the model while it is loaded is left alone, and the store stands in.

    Where it leaves what proves that the model is modelboot's, that is damage: the same call installs again and loads.
    """
    really_load = spacy.load
    seen: list[object] = []

    def changed(path: Path, **options: Any) -> object:  # noqa: ANN401 - whatever spaCy takes
        if not seen:
            meanwhile(installed)
        seen.append(snapshot(installed / NAME))
        return really_load(path, **options)

    monkeypatch.setattr(spacy, "load", changed)
    is_left_alone = meanwhile is not damaged
    assert (assert_healed(tiny_pin) != installed) is is_left_alone
    assert (snapshot(installed / NAME) == seen[0]) is is_left_alone


# --- trouble of the machine

TROUBLES = [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM, errno.EIO]


def refusing(really: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return a call that fails for all files of the model in the target."""

    def call(path: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - stands in for open and stat
        if isinstance(path, (str, os.PathLike)) and f"target{os.sep}{NAME}" in os.fspath(path):
            raise OSError(number, os.strerror(number), str(path))
        return really(path, *arguments, **options)

    return call


@pytest.fixture
def far_pin(tiny: BuiltWheel, installed: Path, server: ModelServer) -> Iterator[ModelPin]:
    """Return the pin of the installed model at a server that would have it again; the model must stay as it is."""
    before = snapshot(installed)
    yield server.publish(tiny)
    assert snapshot(installed) == before


@pytest.mark.parametrize("call", ["stat", "open"])
@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.get)
def test_trouble_while_looking_is_not_taken_for_damage(
    number: int, call: str, far_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file can be looked at: the call fails or goes elsewhere, and what is installed stays as it is."""
    with monkeypatch.context() as patch:
        for owner, name in [(os, "stat")] if call == "stat" else [(Path, "open"), (os, "open")]:
            patch.setattr(owner, name, refusing(getattr(owner, name), number))
        try:
            outcome = get_nlp(far_pin).meta["version"]
        except (InstallError, LoadError) as error:
            outcome = error.message
    if number == errno.EACCES:  # it is another user's, so the store stands in
        assert outcome == "1.0.0"
    else:
        assert server.requests == []
        assert os.strerror(number) in outcome
    get_nlp.cache_clear()
    assert get_nlp(far_pin).meta["version"] == "1.0.0"


@pytest.mark.parametrize(
    "trouble",
    [*(OSError(number, os.strerror(number)) for number in TROUBLES), MemoryError(), RuntimeError("a plugin's\nfault")],
    ids=repr,
)
def test_trouble_while_loading_is_not_taken_for_damage(
    trouble: Exception, far_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where spaCy fails, and the system refuses to open the files again or shows them intact: an error on one line.

    It is not remembered: the next call loads.
    """
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> NoReturn:
            if isinstance(trouble, OSError):
                patch.setattr(os, "open", refusing(os.open, trouble.errno or 0))
            raise trouble

        patch.setattr(spacy, "load", fail)
        with pytest.raises(LoadError, match=rf"could not load {NAME} 1\.0\.0 from ") as caught:
            get_nlp(far_pin)
    assert caught.value.__cause__ is trouble
    assert "\n" not in caught.value.message
    assert (caught.value.model, str(caught.value.path).endswith(DATA)) == (f"{NAME} 1.0.0", True)
    assert get_nlp(far_pin).meta["version"] == "1.0.0"
    assert server.requests == []


DESCRIPTORS = """
import os, resource, sys
import spacy, modelboot

pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
enough, most = resource.getrlimit(resource.RLIMIT_NOFILE)
lowest = os.dup(0)
os.close(lowest)

for spare in (0, 0, 1, 2, 3):
    for limit in (lowest + spare, enough):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
        try:
            print(modelboot.get_nlp(pin).meta["version"])
        except OSError as error:
            print(*str(error).split())
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
        modelboot.get_nlp.cache_clear()
"""


def test_too_many_open_files_is_not_taken_for_damage(far_pin: ModelPin, target: Path, server: ModelServer) -> None:
    """With 0 to 3 descriptors to spare, also at the first call of all: an error that says so, or success."""
    done = python(DESCRIPTORS, *pin_arguments(far_pin), env={**STUB_SPACY, "MODELBOOT_TARGET": str(target)})
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.splitlines()
    assert outcomes[1::2] == ["1.0.0"] * 5
    assert ["Too many open files" in outcome for outcome in outcomes[:4:2]] == [True, True]
    assert [line for line in outcomes if "Too many open files" not in line and line != "1.0.0"] == []
    assert server.requests == []
