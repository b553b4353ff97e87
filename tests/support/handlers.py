"""Which `except OSError` of the package could catch an error of modelboot's own: found in its source, by its calls.

Errors that mean "no pipeline for you" are OSError, so that callers of `spacy.load` catch them; inside the package that
is a trap. A call counts when what it may run builds such an error, or runs what does: functions are followed by name
through imports, methods by their name alone, whatever the object is, so that too much is found rather than too little.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import modelboot
from modelboot import errors

SOURCE = Path(modelboot.__file__).parent
CATCHES = {"OSError", "Exception", "BaseException"}
OURS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.ModelbootError)
}


OTHERS_CODE = {".load", ".import_module"}
"""What runs code that may ask modelboot for another model: spaCy, and an import."""
WITH_BLOCK = "yield"
"""Where a context manager lets the with block run, whose errors come out here."""
ALSO_OF_PATHS = {"rename", "discard"}
"""Methods of PartialFile, which only a download calls; elsewhere they are those of paths and sets."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A block of code whose errors of the operating system are caught."""

    where: str
    """File and function."""
    risky: frozenset[str]
    """Calls in it that may raise one of ours."""
    lets_ours_through: bool
    """Whether a handler before it takes ours out, or it names ours itself."""


@dataclass(slots=True)
class _Module:
    """A module of the package: its functions and methods, and what the names in it stand for."""

    name: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Dotted name in the package by the name it was imported under."""

    def __post_init__(self) -> None:
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modelboot"):
                self.names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}


class Package:
    """The calls among the functions of the package."""

    def __init__(self, source: Path = SOURCE) -> None:
        """Read every module."""
        files = {_dotted(path, source): path for path in sorted(source.rglob("*.py"))}
        self.modules = {name: _Module(name, ast.parse(path.read_text("utf-8"))) for name, path in files.items()}
        self._bodies: dict[str, list[ast.FunctionDef]] = {}
        for module in self.modules.values():
            self._add(module)
        self._owners = {id(node): module for module in self.modules.values() for node in ast.walk(module.tree)}
        self._risky = self._find_risky()

    def _add(self, module: _Module) -> None:
        self._bodies |= {f"{module.name}.{name}": [node] for name, node in module.functions.items()}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                for method in methods:
                    for key in (f".{method.name}", f"{module.name}:{method.name}"):
                        self._bodies.setdefault(key, []).append(method)
                starts = [each for each in methods if each.name in {"__init__", "__post_init__"}]
                self._bodies[f"{module.name}.{node.name}"] = starts

    def _find_risky(self) -> set[str]:
        """Follow the calls up from the functions that build an error of ours."""
        calls = {key: {call for node in nodes for call in self._calls(node)} for key, nodes in self._bodies.items()}
        risky = {f"modelboot.errors.{name}" for name in OURS} | {".from_os_error"} | OTHERS_CODE
        while more := {key for key, made in calls.items() if key not in risky and made & risky}:
            risky |= more
        return risky

    def _calls(self, node: ast.AST) -> Iterator[str]:
        """Yield the keys of what a piece of code calls or names: a function that is handed over may be called, too."""
        module = self._owners[id(node)]
        for each in _code_of(node):
            if isinstance(each, ast.Name):
                yield module.names.get(each.id, f"{module.name}.{each.id}")
            elif isinstance(each, ast.Attribute) and not each.attr.startswith("__"):
                base = each.value.id if isinstance(each.value, ast.Name) else ""
                if base in module.names:
                    yield f"{module.names[base]}.{each.attr}"
                elif base == "self" and (own := f"{module.name}:{each.attr}") in self._bodies:
                    yield own
                    continue
                yield f".{each.attr}" if each.attr not in ALSO_OF_PATHS else ""

    def guarded(self) -> Iterator[Guarded]:
        """Yield every block whose OSErrors are caught or suppressed."""
        for module in self.modules.values():
            for function, is_manager, node in _in_functions(module.tree):
                for body, lets_ours_through in _guards(node):
                    calls = {call for part in body for call in self._calls(part)}
                    risky = frozenset(re.split("[.:]", call)[-1] for call in calls & self._risky)
                    risky |= {WITH_BLOCK} if is_manager and _has_yield(body) else set()
                    risky |= _managers_made_before(body)
                    yield Guarded(f"{module.name}.{function}", risky, lets_ours_through)


def _dotted(path: Path, source: Path) -> str:
    parts = ["modelboot", *path.relative_to(source).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _code_of(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what is run: no annotations, no decorators, no types in `except`."""
    yield node
    for name, value in ast.iter_fields(node):
        skipped = {"annotation", "returns", "decorator_list", "bases"} | ({"type"} if _is_handler(node) else set())
        if name not in skipped:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST):
                    yield from _code_of(each)


def _is_handler(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler)


def _in_functions(tree: ast.Module) -> Iterator[tuple[str, bool, ast.AST]]:
    """Yield each statement that may guard others, the function it is in, and whether that is a context manager."""
    for top in ast.walk(tree):
        if isinstance(top, ast.FunctionDef):
            is_manager = "contextmanager" in set().union(*map(_names, top.decorator_list))
            yield from ((top.name, is_manager, node) for node in ast.walk(top) if isinstance(node, (ast.Try, ast.With)))


def _managers_made_before(body: list[ast.stmt]) -> set[str]:
    """Name the context managers that were made outside and are entered here."""
    entered = (
        item.context_expr
        for part in body
        for each in ast.walk(part)
        for item in (each.items if isinstance(each, ast.With) else ())
    )
    return {each.id for each in entered if isinstance(each, ast.Name)}


def _has_yield(body: list[ast.stmt]) -> bool:
    return any(isinstance(each, ast.Yield) for part in body for each in ast.walk(part))


def _guards(node: ast.AST) -> Iterator[tuple[list[ast.stmt], bool]]:
    """Yield the body of a `try` or `with suppress(…)` that catches OSError, and whether ours are let through."""
    if isinstance(node, ast.Try):
        seen: set[str] = set()
        for handler in node.handlers:
            caught = _names(handler.type)
            if caught & CATCHES and not _ends_in_raise(handler):
                yield node.body, bool(seen & OURS)
            seen |= caught
    elif isinstance(node, ast.With):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and _names(call.func) == {"suppress"}:
                caught = set().union(*map(_names, call.args))
                if caught & CATCHES:
                    yield node.body, bool(caught & OURS)


def _ends_in_raise(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler raises what it caught, whatever that is."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _names(node: ast.AST | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node else {"BaseException"}
