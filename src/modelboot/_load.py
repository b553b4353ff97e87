"""`get_nlp`: one load a model a process, however it is spelled and however many threads ask."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
import threading
import time
from copy import copy
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Protocol, TypedDict, TypeVar, cast

from modelboot import _store
from modelboot._catalog import DEFAULT_MODEL, ModelPin, resolve, same_version
from modelboot._ensure import ensure
from modelboot._settings import read_settings
from modelboot.errors import (
    DownloadError,
    InstallError,
    LoadError,
    ModelbootError,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from _typeshed import ReadableBuffer
    from spacy.language import Language

    from modelboot._settings import Settings
    from modelboot._store import Found

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

FAIL_FAST_S = 60.0
"""For so many seconds after a failure further calls for the same model fail at once."""


class CacheInfo(NamedTuple):
    """What `functools.lru_cache` reports, of models instead of calls: `misses` are loads, `currsize` is models."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Cached(Protocol[P, R_co]):
    """A function with the controls of an `lru_cache`, whose signature a type checker still sees."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, or recall its result."""

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maximum and current size."""

    def cache_clear(self) -> None:
        """Forget every model and every remembered failure."""


class _Options(TypedDict, total=False):
    """Keyword arguments of `spacy.load`."""

    disable: list[str]
    enable: list[str]
    exclude: list[str]


@dataclass(frozen=True, slots=True)
class _Key:
    """One model with one choice of components, in the one spelling all others come down to."""

    pin: ModelPin
    disable: frozenset[str]
    enable: frozenset[str]
    exclude: frozenset[str]

    def options(self) -> _Options:
        """Return what spaCy is told; what was not given is left to its defaults."""
        chosen = {"disable": self.disable, "enable": self.enable, "exclude": self.exclude}
        return cast("_Options", {option: sorted(names) for option, names in chosen.items() if names})


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure that is repeated for a while instead of being waited for again."""

    error: ModelbootError
    until_s: float


@dataclass(slots=True)
class _Memory:
    """Everything `get_nlp` remembers in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    flights: dict[_Key, threading.Lock] = field(default_factory=dict)
    models: dict[_Key, Language] = field(default_factory=dict)
    failures: dict[tuple[ModelPin, Settings], _Failure] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0

    def flight(self, key: _Key) -> threading.Lock:
        """Return the lock whose holder loads that model while the others wait."""
        with self.lock:
            return self.flights.setdefault(key, threading.Lock())

    def renew_locks(self) -> None:
        """Drop locks that a thread of the parent process held while it forked: that thread is not here."""
        self.lock = threading.Lock()
        self.flights = {}


_memory = _Memory()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_memory.renew_locks)


def _with_cache_controls(function: Callable[P, R_co]) -> Cached[P, R_co]:
    """Hang the controls on a plain function: it keeps its signature and help, and pickles by its name."""

    def cache_info() -> CacheInfo:
        recalled = _recall.cache_info().hits
        return CacheInfo(recalled + _memory.hits, _memory.misses, None, len(_memory.models))

    def cache_clear() -> None:
        with _memory.lock:
            _recall.cache_clear()
            _memory.models.clear()
            _memory.failures.clear()
            _memory.hits = _memory.misses = 0

    function.cache_info, function.cache_clear = cache_info, cache_clear  # type: ignore[attr-defined]
    return cast("Cached[P, R_co]", function)


@_with_cache_controls
def get_nlp(
    model: str | ModelPin = DEFAULT_MODEL,
    /,
    *,
    disable: str | Iterable[str] = (),
    enable: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
) -> Language:
    """Return a pinned spaCy pipeline: installed if it is not there, loaded once, and the same object ever after.

    Args:
        model: A catalog name ("fr_core_news_sm"), a name with a version ("en_core_web_sm==3.7.1"), or a `ModelPin`.
        disable: Component or components to load but not to run, as for `spacy.load`.
        enable: The only component or components to run, as for `spacy.load`.
        exclude: Component or components not to load, as for `spacy.load`.

    Returns:
        The loaded pipeline. Equal calls of one process share it, whichever thread and spelling they come from.

    Raises:
        SettingsError: A variable or an argument cannot be used.
        UnknownModelError: The catalog has no such model.
        IncompatibleError: spaCy or a package the pipeline needs is missing or does not fit.
        OfflineError: It is not there and the network is switched off.
        HashMismatchError: A source gave other bytes, and no other source gave the wheel.
        DownloadError: No source gave the wheel. Like the two that follow, it is repeated at once for 60 s by further
            calls for the same model, until `get_nlp.cache_clear()` or a change of settings.
        InstallError: The wheel could not be put in place.
        LoadError: spaCy cannot load it although its files are intact.
    """
    try:
        return _recall(model, disable, enable, exclude)  # type: ignore[arg-type]  # what cannot be hashed comes below
    except TypeError:
        # Lists cannot be looked up; what can be already failed for another reason. Keep lists out of the cache key.
        return _find(model, disable, enable, exclude)


def _find(
    model: str | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
) -> Language:
    """Bring a call to its one spelling and return that model, loading it if this thread is the first to ask."""
    chosen = [_names(option, names) for option, names in zip(_OPTIONS, (disable, enable, exclude), strict=True)]
    key = _Key(resolve(model), *chosen)
    with _memory.flight(key):
        if key in _memory.models:
            with _memory.lock:
                _memory.hits += 1
            return _memory.models[key]
        with _memory.lock:
            _memory.misses += 1
        nlp = _load_or_repeat_failure(key)
        _memory.models[key] = nlp
        return nlp


_OPTIONS = ("disable", "enable", "exclude")
_recall = functools.lru_cache(maxsize=None)(_find)


def _names(option: str, names: str | Iterable[str]) -> frozenset[str]:
    """Accept what spaCy accepts: one name, or any iterable of names."""
    try:
        chosen = frozenset([names] if isinstance(names, str) else names)
        "".join(chosen)  # refuses anything but strings
    except TypeError as error:
        accepted = "a component's name or several"
        raise SettingsError(variable=option, value=repr(names), accepted=accepted) from error
    return chosen


def _load_or_repeat_failure(key: _Key) -> Language:
    """Load a model, unless the same call failed a moment ago: 200 tests on a dead network wait once, not 200 times."""
    settings = read_settings()
    failure = _memory.failures.get((key.pin, settings))
    if failure is not None and time.monotonic() < failure.until_s:
        raise copy(failure.error) from failure.error
    try:
        return _load(key, settings)
    except (DownloadError, InstallError, LoadError) as error:  # the others cost nothing to find out again
        _memory.failures[key.pin, settings] = _Failure(error, time.monotonic() + FAIL_FAST_S)
        raise


def _load(key: _Key, settings: Settings) -> Language:
    """Install and load; where loading fails, find out whether it is the files' fault and mend them once."""
    _, found = ensure(key.pin, settings)
    try:
        return _load_found(found, key)
    except Exception as error:
        issues = _altered(found, key.pin, error)
        if not issues:
            raise _failed(found, key.pin, error) from error
        _log.warning("%s is damaged and is installed again: %s", key.pin, "; ".join(issues))
    _, found = ensure(key.pin, settings, instead_of=found)
    try:
        return _load_found(found, key)
    except Exception as error:
        raise _failed(found, key.pin, error) from error


def _altered(found: Found, pin: ModelPin, error: Exception) -> list[str]:
    """Hash what could not be loaded. Files that cannot even be read (EMFILE, EACCES) prove no damage."""
    try:
        return _store.altered(found)
    except OSError:
        raise _failed(found, pin, error) from error


def _failed(found: Found, pin: ModelPin, error: Exception) -> LoadError:
    reason = " ".join(str(error).split()) or "no reason given"
    return LoadError(model=str(pin), path=str(found.data), reason=f"{type(error).__name__}: {reason}")


def _load_found(found: Found, key: _Key) -> Language:
    """Load exactly these files: by their path, so that nothing of that name elsewhere can stand in for them."""
    import spacy  # noqa: PLC0415 - a second, and needed by nobody who only installs

    _import_package(found)
    nlp = spacy.load(found.data, **key.options())
    version = str(nlp.meta.get("version"))
    if not same_version(version, key.pin.version):
        message = f"its meta.json says version {version}"
        raise ValueError(message)
    return nlp


def _import_package(found: Found) -> None:
    """Import the pipeline's package from where it was found, for the components its code may register.

    A module of that name from elsewhere (another version, a file of the working directory) gives way: the program
    asked for the pin.
    """
    name, init = found.package.name, str(found.package / "__init__.py")
    if getattr(sys.modules.get(name), "__file__", None) == init:
        return
    before = {key: sys.modules.pop(key) for key in [*sys.modules] if key == name or key.startswith(f"{name}.")}
    try:
        sys.modules[name] = module = _module_at(name, init)
        module.__loader__.exec_module(module)  # type: ignore[union-attr]
    except BaseException:
        sys.modules.pop(name, None)
        sys.modules.update(before)
        raise


def _module_at(name: str, init: str) -> ModuleType:
    loader = _ReadOnlyLoader(name, init)
    spec = importlib.util.spec_from_file_location(name, init, loader=loader)
    assert spec is not None  # noqa: S101 - only without a loader
    return importlib.util.module_from_spec(spec)


class _ReadOnlyLoader(SourceFileLoader):
    """Import without leaving byte code behind: a warm start writes nothing."""

    def set_data(self, path: str, data: ReadableBuffer, *, _mode: int = 0o666) -> None:
        """Write nothing."""
