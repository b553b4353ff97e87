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
    from typing import Any, ParamSpec, TypeVar

    from spacy.language import Language
    from spacy.vocab import Vocab
    from thinc.api import Config

    from modelboot import errors
    from modelboot._install.report import InstalledModel
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
    "load",
]

_MODULES = {"InstalledModel": "_install.report", "ModelPin": "_pin"}
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
    model: str | os.PathLike[str] | ModelPin = "en_core_web_sm",
    /,
    *,
    disable: str | Iterable[str] = (),
    enable: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    offline: bool | None = None,
) -> Language:
    """Return a pinned spaCy pipeline: installed if it is not there, loaded once, and the same object ever after.

    The object is shared by all callers in this process, and is for reading. To add pipes, switch pipes or set
    attributes such as `max_length`, use `load` instead, which returns a fresh one.

    Args:
        model: A catalog name ("fr_core_news_sm"), a name with a version ("en_core_web_sm==3.7.1"), a direct reference
            ("name @ URL#sha256=HEX"), or a `ModelPin`. What only spaCy knows passes to it unpinned: a
            folder, "blank:xx", an installed pipeline that the catalog does not have.
        disable: Component or components to load but not to run, as for `spacy.load`.
        enable: The only component or components to run, as for `spacy.load`.
        exclude: Component or components not to load, as for `spacy.load`.
        offline: Whether to keep off the network (MODELBOOT_OFFLINE), should the model have to be installed.

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
    return _get_nlp(model, disable, enable, exclude, offline)


def _get_nlp(*arguments: object) -> Language:
    """Import the cache at the first call, and take its place for all further ones."""
    from modelboot._spacy import cache

    globals()["_get_nlp"] = cache.get_nlp
    return cache.get_nlp(*arguments)  # type: ignore[arg-type]


_NO_CONFIG: dict[str, Any] = {}


def load(  # noqa: PLR0913 - those of spacy.load
    model: str | os.PathLike[str] | ModelPin = "en_core_web_sm",
    /,
    *,
    vocab: Vocab | bool = True,
    disable: str | Iterable[str] = (),
    enable: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    config: dict[str, Any] | Config = _NO_CONFIG,
    offline: bool | None = None,
    **more: Any,  # noqa: ANN401 - spaCy's types
) -> Language:
    """Return a fresh pipeline, as `spacy.load` does; installed if it is not there.

    Each call loads anew, and what it returns is the caller's own to change. `get_nlp` is this once per process.

    Args:
        model: As for `get_nlp`.
        vocab: Vocabulary to share, or True for a new one.
        disable: Component or components to load but not to run.
        enable: The only component or components to run.
        exclude: Component or components not to load.
        config: Overrides of the pipeline's config, nested or in dot notation.
        offline: Whether to keep off the network (MODELBOOT_OFFLINE), should the model have to be installed.
        more: Other arguments that the installed spaCy's `load` accepts.

    Returns:
        The loaded pipeline.

    Raises:
        ModelbootError: As for `get_nlp`. Those that mean that there is no pipeline are OSError, too.
    """
    from modelboot._spacy import load as loading

    given = {"disable": disable, "enable": enable, "exclude": exclude}
    options: dict[str, Any] = {option: names for option, names in given.items() if names != ()} | more
    if vocab is not True:
        options["vocab"] = vocab
    if config:
        options["config"] = config
    return loading.load(model, options, offline=offline)


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
        model: A catalog name ("fr_core_news_sm"), a name with a version ("en_core_web_sm==3.7.1"), a direct reference
            ("name @ URL#sha256=HEX"), or a `ModelPin`.
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
    from modelboot._spacy.registry import register

    installed = ensure.ensure_model(model, target=target, wheelhouse=wheelhouse, offline=offline)
    register(installed.name, installed.path)
    return installed


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
