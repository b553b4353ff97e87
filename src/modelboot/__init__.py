"""Pinned spaCy pipelines on first use: fetched, verified, installed whole or not at all, loaded once.

Only re-exports live here, and each is imported when it is first used: `import modelboot` costs no library, no network
and no I/O, so a library may import it at its own top.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing typing would be most of the cost of this module
if TYPE_CHECKING:
    from modelboot._install.ensure import ensure_model
    from modelboot._install.installed_model import InstalledModel
    from modelboot._pin import ModelPin
    from modelboot._spacy.cache import get_nlp
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
    "get_nlp",
]

_HOMES = {
    "InstalledModel": "_install.installed_model",
    "ModelPin": "_pin",
    "ensure_model": "_install.ensure",
    "get_nlp": "_spacy.cache",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first asked for (PEP 562)."""
    import importlib  # noqa: PLC0415 - `import modelboot` is free

    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("modelboot")
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"modelboot.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return [*__all__, "__version__"]
