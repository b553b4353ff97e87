"""Which `except OSError` of the package could catch an error of modelboot's own: found in its source, by its calls.

Errors that mean "no pipeline for you" are OSError, so that callers of `spacy.load` catch them; inside the package that
is a trap. A call counts when what it may run builds such an error, or runs what does: functions are followed by name
through imports, methods by their name alone, whatever the object is, so that too much is found rather than too little.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


class Guarded(NamedTuple):
    """A block of code whose errors of the operating system are caught."""

    where: str
    """File and function."""
    risky: set[str]
    """Calls in it that may raise one of ours."""
    lets_ours_through: bool
    """Whether a handler before it takes ours out, or it names ours itself."""


class _Module:
    """A module of the package: its functions and methods by what a call names, and what the names in it stand for."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(["modelboot", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        self.tree = ast.parse(path.read_text("utf-8"))
        self.names: dict[str, str] = {}
        self.functions = [(f"{self.name}.{node.name}", node) for node in _functions(self.tree.body)]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modelboot"):
                self.names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
            elif isinstance(node, ast.ClassDef):
                for method in _functions(node.body):
                    is_run_by_a_call = method.name in {"__init__", "__post_init__"}
                    keys = [f".{method.name}", f"{self.name}:{method.name}"]
                    keys += [f"{self.name}.{node.name}"] if is_run_by_a_call else []
                    self.functions += [(key, method) for key in keys]
        self._own = {key for key, _ in self.functions}

    def calls(self, node: ast.AST) -> Iterator[str]:
        """Yield the keys of what a piece of code calls or names: a function that is handed over may be called, too."""
        for each in _code_of(node):
            if isinstance(each, ast.Name):
                yield self.names.get(each.id, f"{self.name}.{each.id}")
            elif isinstance(each, ast.Attribute) and not each.attr.startswith("__"):
                base = each.value.id if isinstance(each.value, ast.Name) else ""
                if base in self.names:
                    yield f"{self.names[base]}.{each.attr}"
                if base == "self" and (own := f"{self.name}:{each.attr}") in self._own:
                    yield own
                elif each.attr not in ALSO_OF_PATHS:
                    yield f".{each.attr}"


def guarded() -> Iterator[Guarded]:
    """Yield every block of the package whose OSErrors are caught or suppressed."""
    modules = [_Module(path) for path in sorted(SOURCE.rglob("*.py"))]
    calls: dict[str, set[str]] = {}
    for module in modules:
        for key, function in module.functions:
            calls.setdefault(key, set()).update(module.calls(function))
    risky = {f"modelboot.errors.{name}" for name in OURS} | {".from_os_error"} | OTHERS_CODE
    while more := {key for key, made in calls.items() if key not in risky and made & risky}:
        risky |= more
    for module in modules:
        for name, is_manager, node in _in_functions(module.tree):
            for body, lets_ours_through in _guards(node):
                made = {call for part in body for call in module.calls(part)} & risky
                found = {re.split("[.:]", call)[-1] for call in made} | _managers_made_before(body)
                found |= {WITH_BLOCK} if is_manager and _has_yield(body) else set()
                yield Guarded(f"{module.name}.{name}", found, lets_ours_through)


def _functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for node in body if isinstance(node, ast.FunctionDef)]


def _code_of(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what is run: no annotations, no decorators, no types in `except`."""
    yield node
    for name, value in ast.iter_fields(node):
        is_caught = name == "type" and isinstance(node, ast.ExceptHandler)
        if name not in {"annotation", "returns", "decorator_list", "bases"} and not is_caught:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST):
                    yield from _code_of(each)


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
