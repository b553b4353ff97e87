"""Every damage to an installed model heals on the next plain call; trouble of the machine is never taken for damage."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import spacy
from _pytest.mark.structures import ParameterSet

from modelboot import InstallError, LoadError, ModelPin, ensure_model, get_nlp
from support.children import OTHER, owned, pin_arguments, public_folder, python, skip_unless_other_user
from support.folders import dist_infos, is_complete, leftovers, snapshot
from support.wheels import BuiltWheel, build_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

    Damage = Callable[["Model"], None]


@dataclass(frozen=True, slots=True)
class Model:
    """Where the parts of an installed model lie."""

    folder: Path
    pin: ModelPin

    @property
    def package(self) -> Path:
        """The package."""
        return self.folder / self.pin.name

    @property
    def data(self) -> Path:
        """The folder of the pipeline's data."""
        return self.package / f"{self.pin.name}-{self.pin.version}"

    @property
    def dist_info(self) -> Path:
        """The dist-info."""
        return self.folder / f"{self.pin.name}-{self.pin.version}.dist-info"


def gone(part: str, file: str = "") -> Damage:
    """Remove a part, or a file of it."""

    def damage(model: Model) -> None:
        path = getattr(model, part) / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def empty_folder(part: str) -> Damage:
    """Remove all that is in a part, but not the folder."""

    def damage(model: Model) -> None:
        shutil.rmtree(getattr(model, part))
        getattr(model, part).mkdir()

    return damage


def cut(part: str, file: str, *, keep: float = 0.5) -> Damage:
    """Cut a file short."""

    def damage(model: Model) -> None:
        path = getattr(model, part) / file
        os.truncate(path, int(path.stat().st_size * keep))

    return damage


def emptied(part: str, file: str) -> Damage:
    """Leave nothing of a file but its name."""
    return cut(part, file, keep=0)


def other_bytes(part: str, file: str) -> Damage:
    """Write other bytes over a file, as many as it had."""

    def damage(model: Model) -> None:
        path = getattr(model, part) / file
        path.write_bytes(b"\xc1" * path.stat().st_size)

    return damage


def second_dist_info(version: str, *broken: Damage) -> Damage:
    """Leave a dist-info of another version beside the right one, and break the model in further ways."""

    def damage(model: Model) -> None:
        other = model.folder / f"{model.pin.name}-{version}.dist-info"
        other.mkdir()
        (other / "INSTALLER").write_text("modelboot\n")
        files = (f"{model.pin.name}/__init__.py,,1", f"{other.name}/RECORD,,", f"{other.name}/INSTALLER,,")
        (other / "RECORD").write_text("".join(f"{line}\n" for line in files))
        for further in broken:
            further(model)

    return damage


def file_as_package(model: Model) -> None:
    """Put a file where the package goes."""
    model.package.write_bytes(b"x")


def link_as_package(model: Model) -> None:
    """Put a link that leads nowhere where the package goes."""
    model.package.symlink_to("nowhere")


def both(first: Damage, second: Damage) -> Damage:
    """Do one damage after the other."""

    def damage(model: Model) -> None:
        first(model)
        second(model)

    return damage


DAMAGES: dict[str, Damage] = {
    "package gone": gone("package"),
    "package empty": empty_folder("package"),
    "dist-info gone": gone("dist_info"),
    "dist-info empty": empty_folder("dist_info"),
    "package gone, dist-info empty": both(gone("package"), empty_folder("dist_info")),
    "__init__.py gone": gone("package", "__init__.py"),
    "__init__.py emptied": emptied("package", "__init__.py"),
    "data folder gone": gone("data"),
    "data folder empty": empty_folder("data"),
    "vocab folder gone": gone("data", "vocab"),
    "strings.json gone": gone("data", "vocab/strings.json"),
    "RECORD gone": gone("dist_info", "RECORD"),
    "RECORD cut": cut("dist_info", "RECORD"),
    "RECORD emptied": emptied("dist_info", "RECORD"),
    "RECORD of other bytes": other_bytes("dist_info", "RECORD"),
    "METADATA gone": gone("dist_info", "METADATA"),
    "two dist-infos, package gone": second_dist_info("0.9.0", gone("package")),
    "two dist-infos, data gone": second_dist_info("0.9.0", gone("data")),
    "a file in place of the package": both(gone("package"), file_as_package),
    "a dangling link in place of the package": both(gone("package"), link_as_package),
    **{
        f"{file} {how.__name__.replace('_', ' ')}": how("data", file)
        for file in ("config.cfg", "meta.json", "tokenizer", "sentencizer.json", "vocab/strings.json")
        for how in (cut, emptied, other_bytes, gone)
        if (file, how) != ("vocab/strings.json", gone)
    },
}

UNPROVEN = {
    "dist-info gone",
    "dist-info empty",
    "package gone, dist-info empty",
    "RECORD gone",
    "RECORD cut",
    "RECORD emptied",
    "RECORD of other bytes",
    "a file in place of the package",
    "a dangling link in place of the package",
}
"""Damages after which nothing proves that what is there is modelboot's: it stays, and the store stands in."""
VARIANTS = {
    f"{file} {how}" for file in ("sentencizer.json", "vocab/strings.json") for how in ("emptied", "other bytes", "gone")
}
"""Damages that are much like others in the table; tried when there is time."""
IMPORTED_EVERY_RUN = {
    "package gone",
    "dist-info gone",
    "__init__.py gone",
    "data folder gone",
    "RECORD gone",
    "config.cfg other bytes",
    "two dist-infos, package gone",
}
"""Damages that are also tried on every run in a process that has imported the model; the others when there is time."""


def table(every_run: set[str]) -> list[ParameterSet]:
    """Return the damages as cases, those that are not for every run marked so."""
    return [
        pytest.param(damage, name in UNPROVEN, id=name, marks=() if name in every_run else pytest.mark.exhaustive)
        for name, damage in DAMAGES.items()
    ]


def imported(model: Model) -> None:
    """Import the package as a program would, from sys.path, whatever state it is in."""
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    try:
        importlib.import_module(model.pin.name)
    except Exception:  # noqa: BLE001 - it is broken
        sys.modules.pop(model.pin.name, None)


def loaded(model: Model) -> None:
    """Load the model and forget it again; what was imported for it stays."""
    get_nlp(model.pin)
    get_nlp.cache_clear()


@pytest.fixture
def model(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """Return a model that is installed on sys.path, and that no other test has imported."""
    ensure_model(tiny_pin)
    monkeypatch.syspath_prepend(str(target))
    _forget(tiny_pin)
    yield Model(target, tiny_pin)
    _forget(tiny_pin)


def _forget(pin: ModelPin) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == pin.name]:
        del sys.modules[name]


def assert_healed(model: Model, folder: Path | None = None) -> None:
    """Demand that the next plain call loads the pinned version, and leaves one whole model and nothing else."""
    nlp = get_nlp(model.pin)
    assert nlp.meta["version"] == model.pin.version
    assert len(list(nlp("One. Two.").sents)) == 2
    assert is_complete(folder or model.folder, model.pin)
    assert dist_infos(folder or model.folder) == [model.dist_info.name]
    assert leftovers(folder or model.folder, model.pin) == []
    if folder is not None:  # what stays in the target keeps its name, too
        return
    module = importlib.import_module(model.pin.name)
    assert module.__file__ == str(model.folder / model.pin.name / "__init__.py")
    assert module.__version__ == model.pin.version


def assert_healed_or_replaced(model: Model, home: Path, *, is_unproven: bool) -> None:
    """Demand that a model heals where it lies, or that it stays as it is and the store has the pinned one."""
    before = snapshot(model.folder)
    store = home / f"{model.pin.name}-{model.pin.version}-{model.pin.sha256[:12]}"
    assert_healed(model, store if is_unproven else None)
    if is_unproven:
        assert snapshot(model.folder) == before


@pytest.mark.parametrize(("damage", "is_unproven"), table({*DAMAGES} - VARIANTS))
def test_damage_heals_on_the_next_call(damage: Damage, model: Model, tmp_path: Path, *, is_unproven: bool) -> None:
    """Whatever is broken, a plain call loads the pinned model: put back, or from the store where it may not be."""
    damage(model)
    assert_healed_or_replaced(model, tmp_path / "home", is_unproven=is_unproven)


@pytest.mark.parametrize(("damage", "is_unproven"), table(IMPORTED_EVERY_RUN))
@pytest.mark.parametrize("when", [loaded, imported], ids=["loaded before", "imported when broken"])
def test_damage_heals_in_a_process_that_has_imported_it(
    when: Callable[[Model], None], damage: Damage, model: Model, tmp_path: Path, *, is_unproven: bool
) -> None:
    """The same in a process that loaded it whole before, or imported the broken one (a namespace package, say)."""
    if when is loaded:
        loaded(model)
    damage(model)
    if when is imported:
        imported(model)
    assert_healed_or_replaced(model, tmp_path / "home", is_unproven=is_unproven)


def test_second_dist_info_beside_a_whole_model_is_no_damage(model: Model) -> None:
    """An older dist-info left behind does not hide the whole model; a warm start removes nothing."""
    second_dist_info("0.9.0")(model)
    before = snapshot(model.folder)
    assert get_nlp(model.pin).meta["version"] == "1.0.0"
    assert snapshot(model.folder) == before


def test_damage_to_a_store_copy_heals(tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged copy in modelboot's own store is replaced as a whole."""
    monkeypatch.delenv("MODELBOOT_TARGET")
    store = tmp_path / "home" / f"{tiny_pin.name}-{tiny_pin.version}-{tiny_pin.sha256[:12]}"
    monkeypatch.setenv("MODELBOOT_TARGET", str(store))
    ensure_model(tiny_pin)
    shutil.rmtree(store / ".modelboot")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / f"{tiny_pin.name}-0.1.dist-info").mkdir()  # nobody's: the target is foreign
    monkeypatch.setenv("MODELBOOT_TARGET", str(tmp_path / "target"))
    stored = Model(store, tiny_pin)
    cut("data", "config.cfg")(stored)
    assert_healed(stored, store)


# --- trouble of the machine

TROUBLES = [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM, errno.EIO]
NAMES = [errno.errorcode[number] for number in TROUBLES]


def refusing(really: Callable[..., Any], number: int, folder: Path) -> Callable[..., Any]:
    """Return a call that fails for all paths below a folder."""

    def call(path: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - stands in for open and stat
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(f"{folder}{os.sep}en_tiny_sm"):
            raise OSError(number, os.strerror(number), str(path))
        return really(path, *arguments, **options)

    return call


@pytest.fixture
def far(tiny: BuiltWheel, target: Path, server: ModelServer) -> tuple[Model, ModelServer]:
    """Return an installed model whose wheel could be fetched again, from a server that would know."""
    ensure_model(tiny.pin)
    return Model(target, server.publish(tiny)), server


@pytest.mark.parametrize("call", ["stat", "open"])
@pytest.mark.parametrize("number", TROUBLES, ids=NAMES)
def test_trouble_while_looking_is_not_taken_for_damage(
    number: int, call: str, far: tuple[Model, ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file can be looked at: the call fails or goes elsewhere, and what is installed stays as it is."""
    model, server = far
    before = snapshot(model.folder)
    with monkeypatch.context() as patch:
        for owner, name in [(os, "stat")] if call == "stat" else [(Path, "open"), (os, "open")]:
            patch.setattr(owner, name, refusing(getattr(owner, name), number, model.folder))
        try:
            outcome = get_nlp(model.pin).meta["version"]
        except (InstallError, LoadError) as error:
            outcome = error.message
    assert snapshot(model.folder) == before
    if number == errno.EACCES:  # it is somebody else's, so the store stands in
        assert outcome == "1.0.0"
    else:
        assert server.requests == []
        assert os.strerror(number) in outcome
    get_nlp.cache_clear()
    assert get_nlp(model.pin).meta["version"] == "1.0.0"
    assert snapshot(model.folder) == before


LOAD_TROUBLES: dict[str, Exception] = {
    **{name: OSError(number, os.strerror(number)) for name, number in zip(NAMES, TROUBLES, strict=True)},
    "MemoryError": MemoryError(),
    "RuntimeError": RuntimeError("a plugin's fault"),
}


@pytest.mark.parametrize("trouble", LOAD_TROUBLES.values(), ids=LOAD_TROUBLES)
def test_trouble_while_loading_is_not_taken_for_damage(
    trouble: Exception, far: tuple[Model, ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where spaCy fails on intact files: a LoadError with the cause, nothing fetched, nothing reinstalled."""
    model, server = far
    before = snapshot(model.folder)

    def fail(*_: object, **__: object) -> NoReturn:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(spacy, "load", fail)
        with pytest.raises(LoadError, match=r"could not load en_tiny_sm 1\.0\.0 from ") as caught:
            get_nlp(model.pin)
    assert caught.value.__cause__ is trouble
    assert server.requests == []
    assert snapshot(model.folder) == before


def test_trouble_while_loading_and_hashing_is_not_taken_for_damage(
    far: tuple[Model, ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that can be found but no longer opened, neither by spaCy nor for hashing, prove no damage."""
    model, server = far
    before = snapshot(model.folder)
    really = spacy.load

    def load(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as spacy.load
        monkeypatch.setattr(Path, "open", refusing(Path.open, errno.EMFILE, model.folder))
        return really(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(spacy, "load", load)
        with pytest.raises(LoadError, match="Too many open files"):
            get_nlp(model.pin)
    monkeypatch.undo()
    assert server.requests == []
    assert snapshot(model.folder) == before


EMFILE = """
import os, resource, sys
import spacy, modelboot, modelboot._spacy.cache, modelboot._spacy.load
modelboot.get_nlp, spacy.blank("en")
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for spare in range(4):
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in taken[:spare]:
        os.close(descriptor)
    try:
        outcome = modelboot.get_nlp(pin).meta["version"]
    except modelboot.ModelbootError as error:
        outcome = type(error).__name__ + ": " + error.message
    for descriptor in taken[spare:]:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    modelboot.get_nlp.cache_clear()
    print(outcome)
print(modelboot.get_nlp(pin).meta["version"])
"""


FIRST_CALL = """
import os, resource, sys
import spacy, modelboot
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    modelboot.get_nlp(sys.argv[1])
except OSError as error:
    outcome = error.strerror
for descriptor in taken:
    os.close(descriptor)
print(outcome)
pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
print(modelboot.get_nlp(pin).meta["version"])
"""


def test_first_call_without_a_descriptor_does_no_harm(far: tuple[Model, ModelServer]) -> None:
    """When not even modelboot's own modules can be read, Python's OSError says so, and the next call succeeds."""
    model, server = far
    pin = model.pin
    environ = {"MODELBOOT_TARGET": str(model.folder)}
    done = python(FIRST_CALL, *pin_arguments(pin), env=environ)
    assert done.stdout.splitlines() == ["Too many open files", pin.version], done.stderr
    assert not server.requests


def test_too_many_open_files_is_not_taken_for_damage(far: tuple[Model, ModelServer]) -> None:
    """A process with 0, 1, 2, 3 descriptors to spare: an error that says so or success, nothing reinstalled."""
    model, server = far
    before = snapshot(model.folder)
    pin = model.pin
    done = python(EMFILE, *pin_arguments(pin), env={"MODELBOOT_TARGET": str(model.folder)})
    assert done.returncode == 0, done.stderr
    *short, after = done.stdout.splitlines()
    assert "Too many open files" in short[0]
    assert [line for line in short if "Too many open files" not in line and line != "1.0.0"] == []
    assert after == "1.0.0"
    assert server.requests == []
    assert snapshot(model.folder) == before


UNREADABLE = """
import sys, modelboot
try:
    print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).path)
except modelboot.ModelbootError as error:
    print(type(error).__name__, error.message)
"""


def test_model_another_user_may_not_read_is_left_alone(tiny: BuiltWheel) -> None:
    """Root's model, closed to others, in a folder the other user owns: it stays, the store stands in."""
    skip_unless_other_user()
    with public_folder() as folder:
        wheel = build_wheel(folder / "wheel", name=tiny.name, version=tiny.version)
        target, home = owned(folder / "target", OTHER), owned(folder / "home", OTHER)
        pin = wheel.pin
        model = Model(target, pin)
        ensure_model(pin, target=target)
        for part in (model.package, model.dist_info):
            part.chmod(0o700)
        before = snapshot(target)
        env = {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(home)}
        done = python(UNREADABLE, *pin_arguments(pin), user=OTHER, env=env)
        assert done.stdout.startswith(str(home)), done.stdout + done.stderr
        assert snapshot(target) == before
