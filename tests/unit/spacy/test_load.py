"""`load` stands where `spacy.load` stood: the same arguments, results and warnings, and errors that callers catch.

What is loaded is what was pinned, from where it was found, and nothing is changed on the way.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

from modelboot import HashMismatchError, LoadError, ModelPin, OfflineError, ensure_model, get_nlp, load
from support.folders import snapshot
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, build_wheel, pipeline_members

if TYPE_CHECKING:
    from spacy.language import Language

    Loads = Callable[..., Language]

BOTH = pytest.mark.parametrize("function", [load, get_nlp], ids=["load", "get_nlp"])


def test_load_is_fresh_each_time(tiny_pin: ModelPin) -> None:
    """What one caller adds to its pipeline, no other caller has; what is shared stays as it was."""
    shared, first = get_nlp(tiny_pin), load(tiny_pin)
    first.add_pipe("entity_ruler")
    first.max_length = 7
    second = load(tiny_pin)
    assert second is not first
    assert (second.pipe_names, second.max_length) == (shared.pipe_names, shared.max_length) == (["sentencizer"], 10**6)
    assert get_nlp(tiny_pin) is shared


def test_load_passes_on_what_spacy_accepts(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has every argument of `spacy.load`; one that a later spaCy has reaches it; any other is its TypeError."""
    vocab = spacy.blank("af").vocab
    assert load(tiny_pin, vocab=vocab).vocab is vocab
    assert {*inspect.signature(spacy.load).parameters} - {"name"} <= {*inspect.signature(load).parameters}
    told: dict[str, object] = {}
    really_load = spacy.load

    def later(path: Path, *, device: str = "cpu", **options: Any) -> Language:  # noqa: ANN401 - spaCy's
        told["device"] = device
        return really_load(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(spacy, "load", later)
        load(tiny_pin, device="gpu")
    assert told == {"device": "gpu"}
    with pytest.raises(TypeError, match="devise"):
        load(tiny_pin, devise="gpu")


@BOTH
def test_offline_argument(
    function: Loads, tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may say for its own call whether anything is fetched, whatever the environment says."""
    with pytest.raises(OSError, match=r"^Can't find model 'af_tiny_sm'") as caught:
        function(web_pin, offline=True)
    assert isinstance(caught.value, OfflineError)
    assert server.requests == []
    server.publish(tiny)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    for offline in (False, True):  # fetched, and then there
        assert function(web_pin, offline=offline).meta["version"] == "1.0.0"
    assert len(server.requests) == 1


def test_load_names_of_its_own(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, however it is named, and a blank pipeline pass to spaCy, unpinned; nothing is installed for them.

    Folders of people whose user names have a domain are folders, and not references.
    """
    folder = tmp_path / "ann@corp" / "model"
    folder.parent.mkdir()
    spacy.blank("af").to_disk(folder)
    monkeypatch.chdir(tmp_path)
    for model in (folder, str(folder), "ann@corp/model", "./ann@corp/model", "blank:af"):
        assert load(model).lang == "af"
        assert get_nlp(model) is get_nlp("blank:af" if model == "blank:af" else folder)
    assert not target.exists()


@pytest.mark.parametrize("model", ["./model", Path("model"), "model"])
def test_get_nlp_relative_folder(model: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is the one below the working directory of each call, and loaded once each.

    Names that can be read only once are read once.
    """
    for lang in ("af", "xx"):
        (tmp_path / lang).mkdir()
        nlp = spacy.blank(lang)
        nlp.add_pipe("sentencizer")
        nlp.to_disk(tmp_path / lang / "model")
    seen = []
    for lang in ("af", "xx", "af", "xx"):
        monkeypatch.chdir(tmp_path / lang)
        seen.append(get_nlp(model, exclude=iter(["sentencizer"])))
    assert [(nlp.lang, nlp.pipe_names) for nlp in seen] == [("af", []), ("xx", [])] * 2
    assert (seen[0] is seen[2], seen[1] is seen[3], get_nlp.cache_info()[:2]) == (True, True, (2, 2))


def test_load_installed_pipeline_of_its_own(
    tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed pipeline that the catalog does not know is loaded by its name, and before a folder of that name."""
    spacy.blank("xx").to_disk(tmp_path / "af_tiny_sm")
    monkeypatch.chdir(tmp_path)
    assert [load("af_tiny_sm").lang, spacy.load("af_tiny_sm").lang] == ["xx", "xx"]
    ensure_model(tiny_pin)
    assert [load("af_tiny_sm").lang, spacy.load("af_tiny_sm").lang] == ["af", "af"]
    assert get_nlp("af_tiny_sm") is get_nlp("af_tiny_sm")


@BOTH
@pytest.mark.parametrize("model", ["./absent", Path("absent"), "/absent/x", "en_typo_sm", "packaging"])
def test_load_what_is_no_pipeline(function: Loads, model: str | Path) -> None:
    """A folder that does not exist, a mistyped name or another package is the error of spaCy that callers know."""
    with pytest.raises(OSError, match="Can't find model"):
        function(model)


def test_direct_reference_without_a_version(tiny: BuiltWheel, server: ModelServer) -> None:
    """Where the URL has no version, the verified wheel's METADATA decide; once is enough."""
    server.serve("/4711", Reply(body=tiny.content))
    reference = f"af_tiny_sm @ {server.url}/4711#sha256={tiny.sha256}"
    model = ensure_model(reference)
    assert (model.version, model.source) == ("1.0.0", "release")
    assert load(reference).meta["version"] == "1.0.0"
    assert (ensure_model(reference).source, len(server.requests)) == ("present", 1)
    other = ModelPin("af_tiny_sm", None, "0" * 64, url=f"{server.url}/4711")
    with pytest.raises(HashMismatchError):
        ensure_model(other)  # another wheel of that name is not taken for it


# --- the package of a pipeline

NAME = "af_tiny_sm"
DATA = f"{NAME}/{NAME}-1.0.0"
FACTORY = """
from spacy.language import Language


@Language.factory("{name}")
def make(nlp, name, overwrite=False, punct_chars=None, scorer=None):
    return lambda doc: doc
"""


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that Python imports from first, as `python` and `python -c` do."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    sys.path.insert(0, "")
    return folder


def members_elsewhere() -> Mapping[str, bytes]:
    """Return a package of the pipeline, of another version."""
    return pipeline_members(NAME, "9.9.9", lang="af")


DECOYS: dict[str, Callable[[], Mapping[str, bytes]]] = {
    "package": members_elsewhere,
    "module": lambda: {f"{NAME}.py": b"def load(**_): raise AssertionError('the wrong module')\n"},
    "folder": lambda: {f"{NAME}/notes.txt": b""},
    "pipeline": lambda: {path.replace(f"{NAME}-9.9.9/", ""): data for path, data in members_elsewhere().items()},
}
"""What lies in the working folder under the pipeline's name; the last is where `spacy.load(name)` would find it."""


@pytest.mark.parametrize(
    ("decoy", "is_imported"),
    [*itertools.product(DECOYS, [False]), *itertools.product(["package", "module", "folder"], [True])],
)
def test_load_beside_a_decoy(
    tiny_pin: ModelPin, target: Path, working_folder: Path, decoy: str, *, is_imported: bool
) -> None:
    """What lies in the working folder under the pipeline's name is neither loaded nor imported, and keeps its name.

    Also when the program has imported it.
    """
    write(working_folder, DECOYS[decoy]())
    imported = importlib.import_module(NAME) if is_imported else None
    before = imported_from(working_folder)
    nlp = get_nlp(tiny_pin)
    assert (nlp.path, nlp.meta["version"]) == (target / DATA, "1.0.0")
    assert imported_from(target) == [str(target / NAME / "__init__.py")]
    assert imported_from(working_folder) == before
    assert imported in {None, sys.modules.get(NAME)}


def test_load_already_imported(tiny_pin: ModelPin, target: Path) -> None:
    """The package itself, if the program has imported it, is not imported a second time."""
    ensure_model(tiny_pin)
    sys.path.insert(0, str(target))
    imported = importlib.import_module(NAME)
    get_nlp(tiny_pin)
    assert sys.modules[NAME] is imported


def test_load_leaves_process(tiny_pin: ModelPin, target: Path) -> None:
    """Installing and loading leave the process alone, but for a folder that is appended once to the same sys.path."""
    path, folders, cwd = sys.path, sys.path[:], Path.cwd()
    for _ in range(2):
        assert get_nlp(tiny_pin).path == target / DATA
        get_nlp.cache_clear()
    assert sys.path is path
    assert (sys.path, Path.cwd()) == ([*folders, str(target)], cwd)


def test_load_writes_nothing(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading what is there changes nothing in the target, which has modules of its own: no bytecode, no lock."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    more = {
        "__init__.py": b"from . import deep\n",
        "deep/__init__.py": b"from . import deeper\n",
        "deep/deeper.py": b"from .. import space\nfrom ..space import part\n",
        "space/part.py": b"",  # a namespace package: a folder without __init__.py
    }
    modules = {f"parts/{path}": data for path, data in more.items()}
    pin = pipeline(tmp_path, code="from . import parts\n", more=modules).pin
    ensure_model(pin)
    before = snapshot(target, without=(), strict=True)
    assert get_nlp(pin).meta["version"] == "1.0.0"
    assert snapshot(target, without=(), strict=True) == before
    assert f"{NAME}.parts.space.part" in sys.modules


@pytest.mark.parametrize("module", ["__init__", "parts"])
def test_load_component_of_package(tmp_path: Path, module: str) -> None:
    """A component that the package's code or a module of it registers is known when its pipeline is loaded."""
    name = f"tiny_{module}"
    files = {"__init__.py": b"from . import parts\n", "parts.py": b""}
    files[f"{module}.py"] += FACTORY.format(name=name).encode()
    nlp = get_nlp(pipeline(tmp_path, more=files, component=name).pin)
    assert nlp.get_pipe_meta("sentencizer").factory == name


def test_load_other_meta_version(tmp_path: Path) -> None:
    """A pipeline that says it is of another version than the pin's is refused."""
    wheel = build_wheel(tmp_path, name=NAME, members=pipeline_members(NAME, "2.0.0", lang="af"))
    with pytest.raises(LoadError, match=r"its meta\.json says version 2\.0\.0") as caught:
        get_nlp(wheel.pin)
    assert caught.value.model == f"{NAME} 1.0.0"


@pytest.mark.parametrize("code", ["raise ValueError('not today')\n", "import modelboot_absent\n"])
@pytest.mark.parametrize("is_imported", [False, True])
def test_load_package_fails(tmp_path: Path, working_folder: Path, code: str, *, is_imported: bool) -> None:
    """Code that fails is a LoadError; no half-imported package is left, but what the program imported as that name."""
    write(working_folder, DECOYS["module"]() if is_imported else {})
    imported = importlib.import_module(NAME) if is_imported else None
    with pytest.raises(LoadError, match=r"ValueError: not today|No module named 'modelboot_absent'") as caught:
        get_nlp(pipeline(tmp_path, code=code).pin)
    assert isinstance(caught.value.__cause__, (ValueError, ModuleNotFoundError))
    assert sys.modules.get(NAME) is imported


def pipeline(
    folder: Path, *, code: str = "", more: Mapping[str, bytes] | None = None, component: str = "sentencizer"
) -> BuiltWheel:
    """Build a pipeline whose package runs some code, and whose config names a component."""
    members = pipeline_members(NAME, "1.0.0", lang="af")
    members[f"{NAME}/__init__.py"] += code.encode()
    members |= {f"{NAME}/{path}": data for path, data in (more or {}).items()}
    config = members[f"{DATA}/config.cfg"].decode()
    members[f"{DATA}/config.cfg"] = config.replace('factory = "sentencizer"', f'factory = "{component}"').encode()
    return build_wheel(folder / "wheels", name=NAME, members=members)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder, and let the import system see them."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    importlib.invalidate_caches()


def imported_from(folder: Path) -> list[str]:
    """List the files of the modules that were imported from below a folder."""
    files = [str(getattr(module, "__file__", None)) for module in [*sys.modules.values()]]
    return [file for file in files if file.startswith(str(folder))]


@BOTH
@pytest.mark.parametrize("raised", [TimeoutError, ArithmeticError, KeyboardInterrupt])
def test_load_interrupted(
    function: Loads, tiny_pin: ModelPin, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal handler raises while spaCy loads passes through unchanged, and nothing of it is remembered.

    Nor does it keep another thread waiting.
    """

    def reached(*_: object) -> None:
        raise raised

    before = signal.signal(signal.SIGALRM, reached)
    with monkeypatch.context() as patch, pytest.raises(raised):  # noqa: PT012 - both are one step
        patch.setattr(spacy, "load", lambda *_, **__: signal.raise_signal(signal.SIGALRM))
        function(tiny_pin)
    signal.signal(signal.SIGALRM, before)
    monkeypatch.setenv("MODELBOOT_DEADLINE", "30")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(function, tiny_pin).result().meta["version"] == "1.0.0"
