"""What is loaded is what was pinned, from where it was found, and nothing is changed on the way."""

from __future__ import annotations

import errno
import importlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelboot import DownloadError, LoadError, ModelPin, ensure_model, get_nlp
from support.folders import snapshot
from support.wheels import BuiltWheel, build_wheel, pipeline_members

NAME = "en_tiny_sm"
DATA = f"{NAME}/{NAME}-1.0.0"
CONFIG = f"{DATA}/config.cfg"
FACTORY = """
from spacy.language import Language


@Language.component("{name}")
def component(doc):
    doc.user_data["by"] = "{name}"
    return doc
"""


@pytest.fixture(autouse=True)
def _unimported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test start without the package, and leave none behind."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    _forget()
    yield
    _forget()


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that Python imports from first, as `python` and `python -c` do."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    sys.path.insert(0, "")
    return folder


def _as_pipeline(folder: Path) -> None:
    """Put a loadable pipeline of that name, of another version, where `spacy.load(name)` would find it."""
    members = pipeline_members(NAME, "9.9.9")
    data = f"{NAME}-9.9.9/"
    _write(folder, {path.replace(data, ""): content for path, content in members.items() if data in path})


def _as_package(folder: Path) -> None:
    _write(folder, pipeline_members(NAME, "9.9.9"))


def _as_module(folder: Path) -> None:
    _write(folder, {f"{NAME}.py": b"def load(**_): raise AssertionError('the wrong module')\n"})


def _as_broken_module(folder: Path) -> None:
    _write(folder, {f"{NAME}.py": b"raise AssertionError('the wrong module')\n"})


def _as_empty_folder(folder: Path) -> None:
    (folder / NAME).mkdir()


@pytest.mark.parametrize(
    "decoy",
    [_as_pipeline, _as_package, _as_module, _as_broken_module, _as_empty_folder],
    ids=["pipeline", "package", "module", "broken module", "empty folder"],
)
def test_load_decoy_in_working_folder(
    tiny_pin: ModelPin, target: Path, working_folder: Path, decoy: Callable[[Path], None]
) -> None:
    """What lies in the working folder under the pipeline's name is neither loaded nor imported, and keeps its name."""
    decoy(working_folder)
    nlp = get_nlp(tiny_pin)
    assert (nlp.path, nlp.meta["version"]) == (target / DATA, "1.0.0")
    assert _imported_from(target) == [str(target / NAME / "__init__.py")]
    assert _imported_from(working_folder) == []


@pytest.mark.parametrize(
    "decoy", [_as_package, _as_module, _as_empty_folder], ids=["package", "module", "empty folder"]
)
def test_load_decoy_already_imported(
    tiny_pin: ModelPin, target: Path, working_folder: Path, decoy: Callable[[Path], None]
) -> None:
    """A module of that name that the program has imported from elsewhere keeps its name beside the pinned one."""
    decoy(working_folder)
    importlib.invalidate_caches()
    imported = importlib.import_module(NAME)
    nlp = get_nlp(tiny_pin)
    assert (nlp.path, nlp.meta["version"]) == (target / DATA, "1.0.0")
    assert sys.modules[NAME] is imported
    assert _imported_from(target) == [str(target / NAME / "__init__.py")]


def test_load_already_imported(tiny_pin: ModelPin, target: Path) -> None:
    """The package itself, if the program has imported it, is not imported a second time."""
    ensure_model(tiny_pin)
    sys.path.insert(0, str(target))
    imported = importlib.import_module(NAME)
    get_nlp(tiny_pin)
    assert sys.modules[NAME] is imported


def test_load_two_versions(tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions of a pipeline can be in use in one process."""
    newer = build_wheel(tmp_path, version="2.0.0")
    one = get_nlp(tiny_pin)
    monkeypatch.setenv("MODELBOOT_TARGET", str(tmp_path / "other"))
    two = get_nlp(newer.pin)
    assert (one.meta["version"], two.meta["version"]) == ("1.0.0", "2.0.0")
    assert get_nlp(tiny_pin) is one


def test_load_appends_to_sys_path(tiny_pin: ModelPin, target: Path) -> None:
    """A folder Python does not import from is appended to sys.path, once, so that nothing before is shadowed."""
    path, folders = sys.path, sys.path[:]
    for _ in range(2):
        assert get_nlp(tiny_pin).path == target / DATA
        ensure_model(tiny_pin)
        get_nlp.cache_clear()
    assert sys.path is path
    assert sys.path == [*folders, str(target)]


@pytest.mark.parametrize("changed", ["chdir", "umask"])
def test_load_leaves_process(tiny_pin: ModelPin, changed: str) -> None:
    """Installing and loading leave the working folder and the umask alone."""
    state = {"chdir": Path.cwd, "umask": _umask}[changed]
    before = state()
    get_nlp(tiny_pin)
    assert state() == before


@pytest.mark.parametrize("code", ["", "from . import parts\n"], ids=["official", "with modules of its own"])
def test_load_writes_nothing(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Loading what is there changes nothing in the target: no bytecode, no lock, no time stamp of a write."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    more = {
        "__init__.py": b"from . import deep\n",
        "deep/__init__.py": b"from . import deeper\n",
        "deep/deeper.py": b"from .. import space\nfrom ..space import part\n",
        "space/part.py": b"",  # a namespace package: a folder without __init__.py
    }
    pin = _wheel(tmp_path, code=code, more={f"parts/{path}": data for path, data in more.items()}).pin
    ensure_model(pin)
    before = snapshot(target, without=(), strict=True)
    assert get_nlp(pin).meta["version"] == "1.0.0"
    assert snapshot(target, without=(), strict=True) == before
    assert (f"{NAME}.parts.space.part" in sys.modules) == bool(code)


def test_load_component_of_package(tmp_path: Path) -> None:
    """A component that the package's code registers is known when its pipeline is loaded."""
    nlp = get_nlp(_wheel(tmp_path, code=FACTORY.format(name="tiny_own"), component="tiny_own").pin)
    assert nlp.pipe_names == ["own"]
    assert nlp("Hello.").user_data["by"] == "tiny_own"


def test_load_component_of_module(tmp_path: Path) -> None:
    """So is one that a module of the package registers."""
    more = {"parts.py": FACTORY.format(name="tiny_module").encode()}
    nlp = get_nlp(_wheel(tmp_path, code="from . import parts\n", component="tiny_module", more=more).pin)
    assert nlp("Hello.").user_data["by"] == "tiny_module"


def test_load_other_meta_version(tmp_path: Path) -> None:
    """A pipeline that says it is of another version than the pin's is refused."""
    wheel = build_wheel(tmp_path, members=pipeline_members(NAME, "2.0.0"))
    with pytest.raises(LoadError, match=r"its meta\.json says version 2\.0\.0") as caught:
        get_nlp(wheel.pin)
    assert caught.value.model == f"{NAME} 1.0.0"


@pytest.mark.parametrize("code", ["raise ValueError('not today')\n", "import modelboot_absent\n"])
def test_load_package_fails(tmp_path: Path, code: str) -> None:
    """Code of the package that fails is a LoadError, and leaves no half-imported package behind."""
    with pytest.raises(LoadError, match=r"ValueError: not today|No module named 'modelboot_absent'") as caught:
        get_nlp(_wheel(tmp_path, code=code).pin)
    assert isinstance(caught.value.__cause__, (ValueError, ModuleNotFoundError))
    assert NAME not in sys.modules


def test_load_package_fails_keeps_other(tmp_path: Path, working_folder: Path) -> None:
    """A failed import leaves the module the program had imported under that name."""
    _as_module(working_folder)
    importlib.invalidate_caches()
    imported = importlib.import_module(NAME)
    with pytest.raises(LoadError, match="not today"):
        get_nlp(_wheel(tmp_path, code="raise ValueError('not today')\n").pin)
    assert sys.modules[NAME] is imported


@pytest.mark.parametrize("filler", [b"\0", b"x"], ids=["zeros", "letters"])
@pytest.mark.parametrize("file", ["config.cfg", "meta.json", "tokenizer", "vocab/strings.json"])
def test_load_altered_file(
    tiny_pin: ModelPin, target: Path, caplog: pytest.LogCaptureFixture, file: str, filler: bytes
) -> None:
    """A file of the right size with other bytes, as a power cut leaves it, is repaired once, with a warning."""
    ensure_model(tiny_pin)
    path = target / DATA / file
    whole = path.read_bytes()
    path.write_bytes(filler * len(whole))
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"
    assert path.read_bytes() == whole
    warned = f"{NAME} 1.0.0 is damaged and is installed again: {DATA}/{file} was altered"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [warned]


def test_load_altered_code(tmp_path: Path, target: Path) -> None:
    """So is altered code of the package, although it was imported with the wrong bytes first."""
    pin = _wheel(tmp_path, code="STATE = 'right'\n").pin
    ensure_model(pin)
    init = target / NAME / "__init__.py"
    init.write_bytes(init.read_bytes().replace(b"'right'", b"'wrong'"))
    (target / CONFIG).write_bytes(b"x" * (target / CONFIG).stat().st_size)
    assert get_nlp(pin).meta["version"] == "1.0.0"
    assert sys.modules[NAME].STATE == "right"


def test_load_altered_file_no_source(tmp_path: Path, target: Path) -> None:
    """Where the wheel can no longer be had, the damage is left as it is and the failure says what could not be got."""
    wheel = build_wheel(tmp_path)
    pin = wheel.pin
    ensure_model(pin)
    wheel.path.unlink()
    (target / CONFIG).write_bytes(b"x" * (target / CONFIG).stat().st_size)
    before = snapshot(target / NAME, without=(), strict=True)
    with pytest.raises(DownloadError, match="could not get en_tiny_sm 1"):
        get_nlp(pin)
    assert snapshot(target / NAME, without=(), strict=True) == before


def test_load_intact_but_refused(tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What spaCy refuses although its files are intact is not installed again."""
    pin = _wheel(tmp_path, component="tiny_nobody_knows").pin
    model = ensure_model(pin)
    before = snapshot(target, without=(), strict=True)
    with pytest.raises(LoadError, match=r"could not load en_tiny_sm 1\.0\.0 .*\[E002\].*'tiny_nobody_knows'") as caught:
        get_nlp(pin)
    assert (caught.value.model, caught.value.path) == (f"{NAME} 1.0.0", str(model.path))
    assert isinstance(caught.value.__cause__, ValueError)
    assert "\n" not in caught.value.message
    assert snapshot(target, without=(), strict=True) == before
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_load_unreadable_files(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that cannot be opened for want of file descriptors prove no damage: nothing is installed again."""
    ensure_model(tiny_pin)
    before = snapshot(target, without=(), strict=True)
    path_open = Path.open

    def exhausted(self: Path, *args: Any, **options: Any) -> object:  # noqa: ANN401 - whatever Path.open takes
        if (target / DATA) in self.parents:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(self))
        return path_open(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", exhausted)
        with pytest.raises(LoadError, match="Too many open files"):
            get_nlp(tiny_pin)
    assert snapshot(target, without=(), strict=True) == before
    get_nlp.cache_clear()
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"


def test_load_replaced_meanwhile(
    tiny_pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program that puts its own version there while this one is loaded is left alone: the store stands in."""
    import spacy

    model = ensure_model(tiny_pin)
    load = spacy.load
    paths: list[Path] = []

    def replaced(path: Path, **options: Any) -> object:  # noqa: ANN401 - whatever spaCy takes
        if not paths:
            shutil.rmtree(target)
            _install_as_pip(build_wheel(tmp_path / "newer", version="2.0.0"), target)
        paths.append(path)
        return load(path, **options)

    monkeypatch.setattr(spacy, "load", replaced)
    nlp = get_nlp(tiny_pin)
    assert nlp.meta["version"] == "1.0.0"
    assert [paths[0], nlp.path.is_relative_to(tmp_path / "home")] == [model.path, True]
    assert (target / NAME / f"{NAME}-2.0.0" / "config.cfg").is_file()


def test_load_record_vanished(
    tiny_pin: ModelPin, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A RECORD that is gone when files are compared is damage; nothing proves whose it is, so the store stands in."""
    import spacy

    ensure_model(tiny_pin)
    load = spacy.load

    def vanished(path: Path, **options: Any) -> object:  # noqa: ANN401 - whatever spaCy takes
        monkeypatch.setattr(spacy, "load", load)
        (target / f"{NAME}-1.0.0.dist-info" / "RECORD").unlink()
        (target / CONFIG).unlink()
        return load(path, **options)

    monkeypatch.setattr(spacy, "load", vanished)
    store = tmp_path / "home" / f"{NAME}-1.0.0-{tiny_pin.sha256[:12]}"
    assert get_nlp(tiny_pin).path == store / DATA


def _install_as_pip(wheel: BuiltWheel, folder: Path) -> None:
    """Unpack a wheel as another program would install it."""
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(folder)
    (folder / f"{NAME}-{wheel.version}.dist-info" / "INSTALLER").write_text("pip\n")


def test_load_interrupted(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while loading goes through untouched, and the next call loads."""
    import spacy

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    ensure_model(tiny_pin)
    before = snapshot(target, without=(), strict=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012 - undone before the next call
        patch.setattr(spacy, "load", interrupted)
        get_nlp(tiny_pin)
    assert snapshot(target, without=(), strict=True) == before
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"


def _wheel(
    folder: Path, *, code: str = "", component: str = "sentencizer", more: Mapping[str, bytes] | None = None
) -> BuiltWheel:
    """Build a pipeline whose package runs some code and whose config names a component."""
    members = pipeline_members(NAME, "1.0.0")
    members[f"{NAME}/__init__.py"] += code.encode()
    members |= {f"{NAME}/{path}": data for path, data in (more or {}).items()}
    if component != "sentencizer":
        members[CONFIG] = _config_of(members[CONFIG], component)
        members = {path: data for path, data in members.items() if not path.endswith("sentencizer.json")}
    return build_wheel(folder / "wheels", members=members)


def _config_of(config: bytes, component: str) -> bytes:
    """Put a component in the place of the sentencizer and its options."""
    before, _, after = config.decode().partition("[components.sentencizer]")
    sections = [f'[components.own]\nfactory = "{component}"\n', *re.findall(r"^\[training[^[]*", after, re.MULTILINE)]
    return (before.replace('["sentencizer"]', '["own"]') + "\n".join(sections)).encode()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def _imported_from(folder: Path) -> list[str]:
    """List the files of the modules that were imported from below a folder."""
    files = [str(getattr(module, "__file__", None)) for module in [*sys.modules.values()]]
    return [file for file in files if file.startswith(str(folder))]


def _forget() -> None:
    """Drop the package and its modules, as far as they were imported."""
    for name in [name for name in sys.modules if name == NAME or name.startswith(f"{NAME}.")]:
        del sys.modules[name]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
