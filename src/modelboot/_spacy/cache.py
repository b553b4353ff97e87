"""`get_nlp`: one load a model a process, however it is spelled and however many threads ask."""

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
from modelboot._spacy.load import Options, load
from modelboot.errors import DownloadError, InstallError, LoadError, ModelbootError, SettingsError

if TYPE_CHECKING:
    from spacy.language import Language

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


@dataclass(frozen=True, slots=True)
class _Key:
    """One model with one choice of components, in the one spelling all others come down to."""

    pin: ModelPin
    disable: frozenset[str]
    enable: frozenset[str]
    exclude: frozenset[str]

    def options(self) -> Options:
        """Return what spaCy is told; what was not given is left to its defaults."""
        chosen = {"disable": self.disable, "enable": self.enable, "exclude": self.exclude}
        return cast("Options", {option: sorted(names) for option, names in chosen.items() if names})


class _Call(NamedTuple):
    """What a failure is remembered of."""

    pin: tuple[object, ...]
    """All of the pin: pins that are equal may differ in their URL, and one with another URL may fare better."""
    key: _Key | None
    """The choice of components, where the failure may lie in it; None where it stands for every choice."""
    settings: Settings


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure that is repeated for a while instead of being waited for again."""

    error: ModelbootError
    until_s: float


@dataclass(slots=True)
class _Memory:
    """Everything `get_nlp` remembers in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    flights: dict[_Key, threading.RLock] = field(default_factory=dict)
    models: dict[_Key, Language] = field(default_factory=dict)
    failures: dict[_Call, _Failure] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0

    def flight(self, key: _Key) -> threading.RLock:
        """Return the lock whose holder loads that model while the others wait.

        Its holder may ask again: a pipeline's own code may, while it is imported, and must not wait for itself.
        """
        with self.lock:
            return self.flights.setdefault(key, threading.RLock())

    def renew_locks(self) -> None:
        """Drop locks that a thread of the parent process held while it forked: that thread is not here."""
        self.lock = threading.Lock()
        self.flights = {}


_memory = _Memory()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_memory.renew_locks)


def cache_info() -> CacheInfo:
    """Return hits, misses, maximum and current size."""
    recalled = _recall.cache_info().hits
    return CacheInfo(recalled + _memory.hits, _memory.misses, None, len(_memory.models))


def cache_clear() -> None:
    """Forget every model and every remembered failure."""
    with _memory.lock:
        _recall.cache_clear()
        _memory.models.clear()
        _memory.failures.clear()
        _memory.hits = _memory.misses = 0


def get_nlp(
    model: str | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
) -> Language:
    """Recall the pipeline of a call that was made before, or find or load it; `modelboot.get_nlp` says the rest."""
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
        nlp = _memory.models.get(key)
        if nlp is not None:
            with _memory.lock:
                _memory.hits += 1
            return nlp
        with _memory.lock:
            _memory.misses += 1
        return _memory.models.setdefault(key, _load_or_repeat_failure(key))


_OPTIONS = ("disable", "enable", "exclude")
# Spellings, not models: a generator is a new one each time, and would be kept for ever.
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


def _load_or_repeat_failure(key: _Key) -> Language:
    """Load a model, unless the same call failed a moment ago: 200 tests on a dead network wait once, not 200 times."""
    settings = read_settings()
    getting, loading = _Call(astuple(key.pin), None, settings), _Call(astuple(key.pin), key, settings)
    for call in (getting, loading):
        failure = _memory.failures.get(call)
        if failure is not None and time.monotonic() < failure.until_s:
            raise copy(failure.error) from failure.error
    try:
        return load(key.pin, settings, key.options())
    except (DownloadError, InstallError, LoadError) as error:  # the others cost nothing to find out again
        call = loading if isinstance(error, LoadError) else getting
        _memory.failures[call] = _Failure(error, time.monotonic() + FAIL_FAST_S)
        raise
