"""`get_nlp`: one load per model per process, however it is spelled and however many threads ask."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterable
from copy import copy
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from modelboot._catalog import resolve
from modelboot._pin import ModelPin
from modelboot._settings import Settings, read_settings
from modelboot._spacy.load import LoadOptions, load
from modelboot.errors import DownloadError, InstallError, LoadError, ModelbootError, SettingsError

if TYPE_CHECKING:
    from spacy.language import Language

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

FAILURE_TTL_S = 60.0
"""Seconds for which a failure is remembered: further calls for the same model fail at once."""


class CacheInfo(NamedTuple):
    """What `functools.lru_cache` reports, of models instead of calls: `misses` are loads, `currsize` is models."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class CachedFunction(Protocol[P, R_co]):
    """A function with the controls of an `lru_cache`, whose signature a type checker still sees."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, or recall its result."""

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maximum and current size."""

    def cache_clear(self) -> None:
        """Forget every model and every remembered failure."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """One model with one choice of components; all spellings of a call have the same key."""

    pin: ModelPin
    disable: frozenset[str]
    enable: frozenset[str]
    exclude: frozenset[str]

    def options(self) -> LoadOptions:
        """Return the arguments for spaCy; it has defaults for those that were not given."""
        chosen = {"disable": self.disable, "enable": self.enable, "exclude": self.exclude}
        return cast("LoadOptions", {option: sorted(names) for option, names in chosen.items() if names})


class FailureKey(NamedTuple):
    """The calls that a failure stands for."""

    pin: tuple[object, ...]
    """All of the pin: pins that are equal may differ in their URL, and one with another URL may fare better."""
    key: CacheKey | None
    """The choice of components, when that may be the reason; None when the failure stands for every choice."""
    settings: Settings


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure that is raised again for a while, without another try."""

    error: ModelbootError
    until_s: float


@dataclass(slots=True)
class State:
    """Everything `get_nlp` remembers in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    load_locks: dict[CacheKey, threading.RLock] = field(default_factory=dict)
    models: dict[CacheKey, Language] = field(default_factory=dict)
    failures: dict[FailureKey, _Failure] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0

    def load_lock(self, key: CacheKey) -> threading.RLock:
        """Return the lock of one model: its holder loads the model while other threads wait.

        The holder may ask again, as a pipeline's own code may do while it is imported, and does not wait for itself.
        """
        with self.lock:
            return self.load_locks.setdefault(key, threading.RLock())

    def reset_after_fork(self) -> None:
        """Replace locks that another thread held when the process forked: that thread does not exist in the child."""
        self.lock = threading.Lock()
        self.load_locks = {}


_state = State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.reset_after_fork)


def cache_info() -> CacheInfo:
    """Return hits, misses, maximum and current size."""
    recalled = _recall.cache_info().hits
    return CacheInfo(recalled + _state.hits, _state.misses, None, len(_state.models))


def cache_clear() -> None:
    """Forget every model and every remembered failure."""
    with _state.lock:
        _recall.cache_clear()
        _state.models.clear()
        _state.failures.clear()
        _state.hits = _state.misses = 0


def get_nlp(
    model: str | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
) -> Language:
    """Return the pipeline of an equal earlier call, or find or load it; see `modelboot.get_nlp`."""
    try:
        return _recall(model, disable, enable, exclude)  # type: ignore[arg-type]  # what cannot be hashed comes below
    except TypeError:
        # A list is not hashable, so it cannot be part of the key of `_recall`.
        return _find(model, disable, enable, exclude)


def _find(
    model: str | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
) -> Language:
    """Return the model of a call, however it is spelled; the first thread that asks loads it."""
    chosen = [_names(option, names) for option, names in zip(_OPTIONS, (disable, enable, exclude), strict=True)]
    key = CacheKey(resolve(model), *chosen)
    with _state.load_lock(key):
        nlp = _state.models.get(key)
        if nlp is not None:
            with _state.lock:
                _state.hits += 1
            return nlp
        with _state.lock:
            _state.misses += 1
        return _state.models.setdefault(key, _load_or_repeat_failure(key))


_OPTIONS = ("disable", "enable", "exclude")
# Bounded, as it holds spellings, not models: each generator is a new one.
_recall = functools.lru_cache(maxsize=1024)(_find)


def _names(option: str, names: str | Iterable[str]) -> frozenset[str]:
    """Accept what spaCy accepts: one name, or any iterable of names."""
    try:
        chosen = frozenset([names] if isinstance(names, str) else names)
        "".join(chosen)  # refuses anything but strings
    except TypeError as error:
        accepted = "a component's name or several"
        raise SettingsError(variable=option, value=repr(names), accepted=accepted) from error
    return chosen


def _load_or_repeat_failure(key: CacheKey) -> Language:
    """Load a model, unless the same call failed a moment ago: 200 tests on a dead network wait once, not 200 times."""
    settings = read_settings()
    installing, loading = FailureKey(astuple(key.pin), None, settings), FailureKey(astuple(key.pin), key, settings)
    for call in (installing, loading):
        failure = _state.failures.get(call)
        if failure is not None and time.monotonic() < failure.until_s:
            raise copy(failure.error) from failure.error
    try:
        return load(key.pin, settings, key.options())
    except (DownloadError, InstallError, LoadError) as error:  # the others cost nothing to repeat
        call = loading if isinstance(error, LoadError) else installing
        _state.failures[call] = _Failure(error, time.monotonic() + FAILURE_TTL_S)
        raise
