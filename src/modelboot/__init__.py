"""Pinned spaCy pipelines on first use: fetched, verified, installed completely or not at all, loaded once.

The public names. Importing this module loads nothing else: `get_nlp` and `ensure_model` are thin functions that import
what they need when they are first called, and every other name is imported when it is first used. So
`from modelboot import get_nlp, ensure_model` may stand at the top of any module.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing typing would be most of the cost of this module
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import ParamSpec, TypeVar

    from spacy.language import Language

    from modelboot import errors
    from modelboot._install.ensure import InstalledModel
    from modelboot._pin import ModelPin
    from modelboot._spacy.cache import CachedFunction, CacheInfo
    from modelboot.errors import (
        DownloadError,
        HashMismatchError,
        IncompatibleError,
        InstallError,
        LoadError,
        ModelbootError,
        OfflineError,
        SettingsError,
        UnknownModelError,
    )

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = [
    "DownloadError",
    "HashMismatchError",
    "IncompatibleError",
    "InstallError",
    "InstalledModel",
    "LoadError",
    "ModelPin",
    "ModelbootError",
    "OfflineError",
    "SettingsError",
    "UnknownModelError",
    "ensure_model",
    "errors",
    "get_nlp",
]

_MODULES = {"InstalledModel": "_install.ensure", "ModelPin": "_pin"}
"""Where a public name is defined, unless it is an error."""


def _with_cache_controls(function: Callable[P, R]) -> CachedFunction[P, R]:
    """Give a plain function the controls of an `lru_cache`: it keeps its signature and help, and pickles by name."""

    def cache_info() -> CacheInfo:
        """Return hits, misses, maximum and current size."""
        from modelboot._spacy import cache

        return cache.cache_info()

    def cache_clear() -> None:
        """Forget every model and every remembered failure."""
        from modelboot._spacy import cache

        cache.cache_clear()

    function.cache_info, function.cache_clear = cache_info, cache_clear  # type: ignore[attr-defined]
    return function  # type: ignore[return-value]


@_with_cache_controls
def get_nlp(
    model: str | ModelPin = "en_core_web_sm",
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
    return _get_nlp(model, disable, enable, exclude)


def _get_nlp(*arguments: object) -> Language:
    """Import the cache at the first call, and take its place for all further ones."""
    from modelboot._spacy import cache

    globals()["_get_nlp"] = cache.get_nlp
    return cache.get_nlp(*arguments)  # type: ignore[arg-type]


def ensure_model(
    model: str | ModelPin = "en_core_web_sm",
    /,
    *,
    target: str | os.PathLike[str] | None = None,
    wheelhouse: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    offline: bool | None = None,
) -> InstalledModel:
    """Install a pinned pipeline unless it is there, without importing spaCy.

    An argument that is given beats the environment variable of that name; None leaves it in force.

    Args:
        model: A catalog name ("fr_core_news_sm"), a name with a version ("en_core_web_sm==3.7.1"), or a `ModelPin`.
        target: Folder to install into and nowhere else (MODELBOOT_TARGET).
        wheelhouse: Folder or folders searched first for the wheel (MODELBOOT_WHEELHOUSE).
        offline: Whether to keep off the network (MODELBOOT_OFFLINE).

    Returns:
        Where the model is, how it got there and what that cost.

    Raises:
        SettingsError: A variable or an argument cannot be used.
        UnknownModelError: The catalog has no such model.
        IncompatibleError: spaCy or a package the pipeline needs is missing or does not fit.
        OfflineError: It is not there and the network is switched off.
        HashMismatchError: A source gave other bytes, and no other source gave the wheel.
        DownloadError: No source gave the wheel.
        InstallError: The wheel could not be put in place.
    """
    from modelboot._install import ensure

    return ensure.ensure_model(model, target=target, wheelhouse=wheelhouse, offline=offline)


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    import importlib

    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("modelboot")
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module = importlib.import_module(f"modelboot.{_MODULES.get(name, 'errors')}")
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return [*__all__, "__version__"]
