"""Modules import only what lies below them, and each third-party package is imported by one module."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelboot

if TYPE_CHECKING:
    from collections.abc import Iterator

# Lowest first. A module may import those of lower rows; those of its own row do not know each other.
LAYERS = (
    ("errors", "_table", "_terminal", "_digest"),
    ("_settings", "_versions", "_deadline", "_disk"),
    ("_pin", "_progress", "_proxies", "_logins", "_trust"),
    ("_catalog", "_places", "_attempts", "_archive", "_body", "_part", "_stage", "_installed"),
    ("_store", "_install", "_lock", "_index", "_retry", "_hosts", "_answer", "_local"),
    ("_http",),
    ("_download", "_inventory", "_publish", "_room"),
    ("_sources", "_uninstall"),
    ("_ensure", "_wheelhouse", "_doctor"),
    ("_pipeline",),
    ("_load",),
    ("_trial",),
    ("_report", "__init__"),
    ("_cli",),
    ("__main__",),
)
OWNERS = {
    "packaging": {"_versions"},
    "urllib3": {"_http"},
    "installer": {"_install"},
    "filelock": {"_lock"},
    "tqdm": {"_progress"},
    "certifi": {"_trust"},  # where it is installed
    "spacy": {"_pipeline", "_trial"},  # _trial takes spaCy's example sentences, by their module's name
}
# What a module may name in annotations without importing it when it runs.
TYPES_OF = {
    "spacy": {"_load"},
    "urllib3": {"_answer"},
    "typing_extensions": {module for layer in LAYERS for module in layer},
    "_typeshed": {module for layer in LAYERS for module in layer},
}
LEVELS = {module: level for level, layer in enumerate(LAYERS) for module in layer}
SOURCES = {path.stem: path.read_text("utf-8") for path in Path(modelboot.__file__).parent.glob("*.py")}


@dataclass(frozen=True)
class Import:
    """One import in one module.

    Attributes:
        line: Where it is.
        name: Dotted name of what is imported, as far as it is known.
        for_types: Whether only type checkers see it.
    """

    line: int
    name: str
    for_types: bool

    @property
    def package(self) -> str:
        """The package at the top."""
        return self.name.partition(".")[0]

    @property
    def own_module(self) -> str | None:
        """The module of modelboot it names; None for anything else, and for a name made up at run time."""
        package, *rest = self.name.split(".")
        if package != "modelboot":
            return None
        if not rest:
            return "__init__"
        return rest[0] or None


def imports_of(source: str, modules: frozenset[str]) -> list[Import]:
    """List every import of a module's text, at whatever depth, those by name among them.

    Args:
        source: The text.
        modules: Names of modelboot's modules: `from modelboot import x` imports the module x where there is one.
    """
    tree = ast.parse(source)
    guarded = {id(node) for guard in ast.walk(tree) if _is_type_guard(guard) for node in _body(guard)}
    return [
        Import(node.lineno, name, id(node) in guarded)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call))
        for name in _names(node, modules)
    ]


def _is_type_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _body(guard: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(guard, ast.If)
    for statement in guard.body:
        yield from ast.walk(statement)


def _names(node: ast.Import | ast.ImportFrom | ast.Call, modules: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Call):
        return _called(node)
    base = ".".join(filter(None, ["modelboot" if node.level else "", node.module]))
    if base != "modelboot":
        return [base]
    return [f"{base}.{alias.name}" if alias.name in modules else base for alias in node.names]


def _called(node: ast.Call) -> list[str]:
    """Give what `import_module(...)` or `__import__(...)` imports: of a text that is put together, its beginning."""
    if ast.unparse(node.func).rpartition(".")[2] not in {"import_module", "__import__"} or not node.args:
        return []
    argument = node.args[0]
    start = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    return [start.value] if isinstance(start, ast.Constant) and isinstance(start.value, str) else []


def breaches(module: str, source: str) -> list[str]:
    """Word each import that a module must not have."""
    found = []
    for item in imports_of(source, frozenset(LEVELS)):
        if item.own_module is not None and LEVELS[item.own_module] >= LEVELS[module]:
            found.append(f"{module}:{item.line} imports {item.own_module}, which is not below it")
        elif not _may_import(module, item):
            found.append(f"{module}:{item.line} imports {item.package}, which is not its to import")
    return found


def _may_import(module: str, item: Import) -> bool:
    if item.package == "modelboot" or item.package in sys.stdlib_module_names:
        return True
    owners = OWNERS.get(item.package, set()) | (TYPES_OF.get(item.package, set()) if item.for_types else set())
    return module in owners


def test_layers_name_every_module() -> None:
    """Each module has its place among the layers, and each name there is a module."""
    assert sorted(LEVELS) == sorted(SOURCES)
    assert len(LEVELS) == sum(map(len, LAYERS))


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_module_imports(module: str) -> None:
    """A module imports only modules of lower layers, and only third-party packages that are its own."""
    assert breaches(module, SOURCES[module]) == []


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_package_is_imported_by_its_owners(package: str) -> None:
    """Each owner named above does import its package: the table is no wish list."""
    importers = {
        module
        for module, source in SOURCES.items()
        for item in imports_of(source, frozenset(LEVELS))
        if item.package == package and not item.for_types
    }
    assert importers == OWNERS[package]


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("_store", "import urllib3", "_store:1 imports urllib3, which is not its to import"),
        ("_store", "import urllib3.util as u", "_store:1 imports urllib3, which is not its to import"),
        ("_store", "from urllib3.util import Retry", "_store:1 imports urllib3, which is not its to import"),
        ("_store", "def f():\n    import spacy", "_store:2 imports spacy, which is not its to import"),
        ("_store", "import requests", "_store:1 imports requests, which is not its to import"),
        ("_store", "import_module('spacy.lang')", "_store:1 imports spacy, which is not its to import"),
        ("_store", "importlib.import_module(f'spacy.{x}')", "_store:1 imports spacy, which is not its to import"),
        ("_store", "__import__('tqdm')", "_store:1 imports tqdm, which is not its to import"),
        ("_store", "import typing_extensions", "_store:1 imports typing_extensions, which is not its to import"),
        ("_load", "from spacy.language import Language", "_load:1 imports spacy, which is not its to import"),
        ("_store", "if TYPE_CHECKING:\n    import spacy", "_store:2 imports spacy, which is not its to import"),
        (
            "_load",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import spacy",
            "_load:4 imports spacy, which is not its to import",
        ),
        ("_store", "from modelboot import _ensure", "_store:1 imports _ensure, which is not below it"),
        ("_store", "from modelboot._ensure import ensure", "_store:1 imports _ensure, which is not below it"),
        ("_store", "import modelboot._ensure", "_store:1 imports _ensure, which is not below it"),
        ("_store", "from . import _ensure", "_store:1 imports _ensure, which is not below it"),
        ("_store", "from ._ensure import ensure", "_store:1 imports _ensure, which is not below it"),
        ("_store", "import modelboot", "_store:1 imports __init__, which is not below it"),
        ("_store", "from modelboot import ensure_model", "_store:1 imports __init__, which is not below it"),
        ("_store", "from modelboot import _install", "_store:1 imports _install, which is not below it"),
        ("errors", "import_module('modelboot._pin')", "errors:1 imports _pin, which is not below it"),
        (
            "_pin",
            "if TYPE_CHECKING:\n    from modelboot._catalog import CatalogEntry",
            "_pin:2 imports _catalog, which is not below it",
        ),
    ],
)
def test_breach_is_found(module: str, source: str, breach: str) -> None:
    """However an import is written that breaks the rules, it is found."""
    assert breaches(module, source) == [breach]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("_store", "import os, json.decoder\nfrom collections.abc import Iterator"),
        ("_store", "from modelboot import _disk, _versions\nfrom modelboot._places import Place"),
        ("_http", "import urllib3\nfrom urllib3.util import Retry"),
        ("_load", "if TYPE_CHECKING:\n    from spacy.language import Language"),
        ("_load", "if typing.TYPE_CHECKING:\n    from typing_extensions import Self"),
        ("_trial", "importlib.import_module(f'spacy.lang.{code}.examples')"),
        ("__init__", "importlib.import_module(f'modelboot.{home}')"),
        ("_cli", "def version():\n    import modelboot"),
        ("_store", "import_module(name)\nprint('import spacy')  # import spacy"),
    ],
    ids=["standard", "lower", "owner", "types", "extensions", "by-name", "made-up", "top", "words"],
)
def test_no_breach_is_found(module: str, source: str) -> None:
    """Imports that keep the rules are not taken for breaches."""
    assert breaches(module, source) == []
