"""What a user gets who installs modelboot: its metadata, its files, and an import that costs nothing."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import modelboot
from modelboot._catalog import DEFAULT_MODEL

DEPENDENCIES = {"spacy", "installer", "filelock", "urllib3", "packaging", "tqdm"}
RANGES = {"spacy": "<4,>=3.7", "installer": "<2,>=0.7", "filelock": "<5,>=3.21.0"}
COSTLY = {
    *("spacy", "urllib3", "requests", "filelock", "installer", "tqdm", "packaging"),
    *("socket", "ssl", "subprocess", "importlib.metadata", "dataclasses", "logging", "pathlib", "csv", "json"),
}
PUBLIC = {
    *("DownloadError", "HashMismatchError", "IncompatibleError", "InstallError", "InstalledModel", "LoadError"),
    *("ModelPin", "ModelbootError", "OfflineError", "SettingsError", "UnknownModelError", "ensure_model", "get_nlp"),
    "load",
}


def printed(statement: str) -> str:
    """Return what a bare process prints that finds the modelboot under test, wherever it lies."""
    here = str(Path(modelboot.__file__).parents[1])
    code = f"import sys\nsys.path.insert(0, {here!r})\n{statement}"
    return subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout


def modules_after(statement: str) -> set[str]:
    """List the modules a bare process has loaded after a statement."""
    return set(printed(f"{statement}\nprint(*sys.modules)").split())


def test_requirements_are_ones_an_index_accepts() -> None:
    """None names a URL, not even in an extra; outside extras there are these, in the ranges other packages need."""
    requirements = [Requirement(text) for text in metadata.requires("modelboot") or []]
    assert [str(each) for each in requirements if each.url] == []
    needed = {each.name: str(each.specifier) for each in requirements if not each.marker}
    assert set(needed) == DEPENDENCIES
    assert {name: needed[name] for name in RANGES} == RANGES


def test_metadata_says_where_and_what() -> None:
    """An index shows where code, issues and changes are, what modelboot is for, and the oldest Python it works with."""
    facts = metadata.metadata("modelboot")
    urls = dict(url.split(", ", 1) for url in facts.get_all("Project-URL") or [])
    assert set(urls) == {"Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith("https://") for url in urls.values())
    versions = [f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)]
    assert {*versions, "Framework :: Pytest", "Typing :: Typed"} <= set(facts.get_all("Classifier") or [])
    assert facts["Requires-Python"] == ">=3.10"


def test_version_is_in_the_changelog() -> None:
    """The version is that of the installed distribution, and what came with it is described, with its date."""
    changes = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    assert modelboot.__version__ == metadata.version("modelboot")
    assert re.search(rf"^## \[{re.escape(modelboot.__version__)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE)


@pytest.mark.parametrize("file", ["py.typed", "catalog.csv"])
def test_package_file(file: str) -> None:
    """What is not code and yet needed is in the package too."""
    assert resources.files("modelboot").joinpath(file).is_file()


def test_console_script() -> None:
    """The command is there, and is the one function that `python -m` calls too."""
    (script,) = metadata.entry_points(group="console_scripts", name="modelboot")
    assert script.value == "modelboot.cli:main"
    assert callable(script.load())


def test_dir() -> None:
    """What is public is listed, imported or not, and nothing else."""
    assert set(dir(modelboot)) == {*PUBLIC, "errors", "__version__"}
    assert set(modelboot.__all__) == {*PUBLIC, "errors"}


@pytest.mark.parametrize("name", ["get_model", "_ensure_model", "os"])
def test_unknown_attribute(name: str) -> None:
    """A name that is not public is an AttributeError, as from any module."""
    with pytest.raises(AttributeError, match=f"^module 'modelboot' has no attribute '{name}'$"):
        getattr(modelboot, name)


@pytest.mark.parametrize("statement", ["import modelboot", "from modelboot import get_nlp, load, ensure_model"])
def test_import_is_free(statement: str) -> None:
    """Importing modelboot, and the functions every library asks for, loads nothing else that takes time."""
    added = modules_after(statement) - modules_after("")
    assert "modelboot" in added
    assert added & COSTLY == set()
    assert {name for name in added if name.startswith("modelboot.")} == set()


def test_get_nlp_explains_itself_before_the_first_call() -> None:
    """Signature, help and cache controls are there although nothing behind them was imported; it is pickled by name."""
    signature = inspect.signature(modelboot.get_nlp)
    assert [*signature.parameters] == ["model", "disable", "enable", "exclude", "offline"]
    assert signature.parameters["model"].default == DEFAULT_MODEL
    help_text, get_nlp = str(inspect.getdoc(modelboot.get_nlp)), modelboot.get_nlp
    told = ("same object", "for reading", "`load`", "exclude: Component", "Raises:")
    assert [text for text in told if text not in help_text] == []
    assert all(map(inspect.getdoc, (get_nlp.cache_info, get_nlp.cache_clear)))
    assert get_nlp.cache_info().maxsize is None
    assert pickle.loads(pickle.dumps(get_nlp)) is get_nlp  # noqa: S301 - our own bytes
    assert inspect.signature(modelboot.ensure_model).parameters["model"].default == DEFAULT_MODEL


def test_errors_module_is_an_attribute() -> None:
    """`import modelboot; modelboot.errors` works without a further import."""
    assert printed("import modelboot; print(modelboot.errors.LoadError.__name__)") == "LoadError\n"


def test_no_import_hides_from_the_linters() -> None:
    """No module calls `__import__`: the linters see neither that nor what it imports."""
    sources = [*Path(modelboot.__file__).parent.rglob("*.py")]
    assert len(sources) > 30
    assert [source.name for source in sources if "__import__" in source.read_text("utf-8")] == []
