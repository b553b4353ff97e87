"""Which package indexes are asked, and how: the settings of pip and uv, from their variables and files.

Facts of pip are those of its `_internal/configuration.py` and `cli/parser.py`, facts of uv those of its documentation
of settings. Neither program is run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from modelboot._environment import is_on
from modelboot._network.trust_env import TrustEnv
from modelboot._redact import without_secrets
from modelboot._versions import version_key

PIP_SECTIONS = ("global", "download", "install")
"""Sections of pip's files that count here. A later one wins, whichever file it stands in; a variable wins over all."""
CAN_READ_TOML = sys.version_info >= (3, 11)
NO_PUBLIC_INDEX = "there is no pip to say where the public index is: name one in PIP_INDEX_URL or UV_DEFAULT_INDEX"
_PUBLIC_INDEX = rb"""(?m)^PyPI\s*=\s*PackageIndex\(\s*(?:url\s*=\s*)?["'](https?://[^"']+)["']"""
_MODULE = ("_internal", "models", "index.py")
"""Where pip has said the public index's address since version 10."""

_log = logging.getLogger(__name__)


class Index(NamedTuple):
    """A package index, or a folder or page of links that stands in for one."""

    url: str
    """http, https or file URL; it may carry user:password, or a token in its path."""
    trust_env: TrustEnv
    keyring: str = "auto"
    """pip's or uv's keyring-provider: "auto", "import", "subprocess" or "disabled"."""
    is_links: bool = False
    """Whether it lists files itself (find-links), and has no page for each package."""
    is_pip: bool = True
    """Whether pip's rules hold for it, and not uv's."""

    def __repr__(self) -> str:
        """Leave out what may carry a password."""
        return f"Index({self.shown!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is a folder or file of this machine."""
        return self.url.lower().startswith("file:")

    @property
    def shown(self) -> str:
        """What is shown of it: a folder, or scheme and host, as a path may be a secret, too."""
        shown = without_secrets(self.url)
        if self.is_local:
            return shown
        with suppress(ValueError):  # brackets that do not match
            parts = urlsplit(shown)
            return urlunsplit((parts.scheme, parts.netloc, "", "", "")) or "an index that is not a URL"
        return "an index that is not a URL"


def read_indexes(trust_env: TrustEnv, environ: Mapping[str, str]) -> list[Index]:
    """Return the indexes in the order in which they are asked.

    None is taken at its word, as the hash decides, so the order is one of speed: folders and pages of links first, the
    user's own indexes, the public one last, and not at all where another stands in for it.

    Args:
        trust_env: What other programs' variables say of the network.
        environ: The variables.
    """
    pip, uv = pip_settings(environ), uv_settings(environ)
    of_pip = Index("", _trust_of_pip(pip, trust_env), keyring=pip.get("keyring-provider", "auto"))
    of_uv = Index("", trust_env._replace(is_index=True, tokens=()), keyring=uv.keyring, is_pip=False)
    found = [of_pip._replace(url=_as_url(link), is_links=True) for link in pip.get("find-links", "").split()]
    found += [of_uv._replace(url=_as_url(link), is_links=True) for link in uv.links]
    if not (is_on("no-index", pip) or uv.no_index):
        own = [*filter(None, [pip.get("index-url")]), *pip.get("extra-index-url", "").split()]
        found += [of_pip._replace(url=_as_url(url)) for url in own]
        found += [of_uv._replace(url=_as_url(url)) for url in (*uv.extra, *uv.default)]
        if not (pip.get("index-url") or uv.default):
            found.append(of_pip._replace(url=public_index()))
    unique: dict[tuple[str, bool], Index] = {}
    for index in found:
        unique.setdefault((index.url, index.is_links), index)
    return [*unique.values()]


def _as_url(text: str) -> str:
    """Turn a path that exists, relative to the working directory or not, into a URL; leave a URL alone, as pip does."""
    if "://" in text:
        return text
    path = _path(text)
    return path.as_uri() if path.is_absolute() and os.path.exists(path) else text


def _trust_of_pip(pip: Mapping[str, str], trust_env: TrustEnv) -> TrustEnv:
    return trust_env._replace(
        is_index=True,
        tokens=(),  # they are for mirrors and the hub
        cert=_path(pip["cert"]) if "cert" in pip else None,
        client_cert=_path(pip["client-cert"]) if "client-cert" in pip else None,
        proxy=pip.get("proxy") or None,
        trusted_hosts=frozenset(pip.get("trusted-host", "").lower().split()),
    )


def _path(text: str) -> Path:
    """Return an absolute path; a relative one where the working directory is gone."""
    expanded = os.path.expanduser(text)
    try:
        return Path(os.path.abspath(expanded))
    except OSError:
        return Path(expanded)


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings by the long names of its options, as `pip install` finds them."""
    sections: dict[str, dict[str, str]] = {name: {} for name in PIP_SECTIONS}
    for path in _pip_files(environ):
        for section, options in _read_ini(path).items():
            sections[section] |= options
    variables = {_option(name[len("PIP_") :]): text for name, text in environ.items() if name.startswith("PIP_")}
    # An empty value hides none that is set in a section or a variable of less weight.
    return {name: text for options in (*sections.values(), variables) for name, text in options.items() if text}


def _pip_files(environ: Mapping[str, str]) -> list[str]:
    """Return the files pip reads, the one that wins last."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    home = os.path.expanduser("~")
    user = os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "pip")
    shared = [os.path.join(each, "pip") for each in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)]
    shared.append("/etc")
    if sys.platform == "win32":
        user, shared = os.path.join(environ.get("APPDATA", home), "pip"), [rf"{environ.get('PROGRAMDATA', '')}\pip"]
    elif sys.platform == "darwin":
        library = os.path.join(home, "Library/Application Support/pip")
        user, shared = library if os.path.isdir(library) else user, ["/Library/Application Support/pip"]
    users = [os.path.join(home, "pip" if sys.platform == "win32" else ".pip"), user]
    folders = [*shared, *([] if named and os.path.exists(named) else users), sys.prefix]
    return [*(os.path.join(folder, name) for folder in folders), *([named] if named else [])]


def _read_ini(path: str) -> dict[str, dict[str, str]]:
    """Read the sections of a file of pip's that count here; none where there is no file, or none that can be read."""
    if not os.path.isfile(path):
        return {}
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
    except (OSError, UnicodeDecodeError, configparser.Error) as error:  # its text may quote a password
        _log.warning("%s cannot be used: %s", path, type(error).__name__)
        return {}
    present = filter(parser.has_section, PIP_SECTIONS)
    return {section: {_option(name): text for name, text in parser.items(section)} for section in present}


def _option(name: str) -> str:
    """Return the name of an option as pip makes it from that of a variable or a line."""
    option = name.lower().replace("_", "-").removeprefix("--")
    return "index-url" if option == "pypi-url" else option


class UvSettings(NamedTuple):
    """What uv is told of indexes."""

    default: tuple[str, ...] = ()
    """The one that stands in for the public index; none for the public one."""
    extra: tuple[str, ...] = ()
    """Those that are asked as well."""
    links: tuple[str, ...] = ()
    no_index: bool = False
    keyring: str = "auto"


def uv_settings(environ: Mapping[str, str]) -> UvSettings:
    """Read uv's variables, and the uv.toml of the user and of the system.

    Args:
        environ: The variables. A project's uv.toml or pyproject.toml is not read: it belongs to a working directory.

    Returns:
        The settings, with the login that variables give for an index of a name. An index that is marked as explicit is
        for packages that name it, so it is not among them.
    """
    tables = [table for path in _uv_files(environ) for table in _tables(path)]
    entries = [*_from_variables(environ), *(each for table in tables for each in _from_table(table))]
    # Of several of one name the first holds, and has the login that variables give to that name.
    named = {entry.name: entry for entry in reversed(entries) if entry.name}
    found = [
        (_with_login(entry, environ), entry.is_default)
        for entry in entries
        if not entry.name or entry is named[entry.name]
    ]
    links = [*filter(None, environ.get("UV_FIND_LINKS", "").split(",")), *_texts(tables, "find-links")]
    keyrings = [environ.get("UV_KEYRING_PROVIDER", ""), *_texts(tables, "keyring-provider"), "auto"]
    return UvSettings(
        default=tuple(url for url, is_default in found if is_default)[:1],
        extra=tuple(dict.fromkeys(url for url, is_default in found if not is_default)),
        links=tuple(links),
        no_index=is_on("UV_NO_INDEX", environ) or any(table.get("no-index") is True for table in tables),
        keyring=next(filter(None, keyrings)),
    )


class _UvIndex(NamedTuple):
    url: str
    is_default: bool
    name: str = ""
    has_login: bool = True


def _from_variables(environ: Mapping[str, str]) -> Iterator[_UvIndex]:
    """Yield the indexes that variables name, the one that wins first."""
    for variable, is_default in (
        ("UV_DEFAULT_INDEX", True),
        ("UV_INDEX_URL", True),
        ("UV_INDEX", False),
        ("UV_EXTRA_INDEX_URL", False),
    ):
        for entry in environ.get(variable, "").split():
            named = re.fullmatch(r"([A-Za-z0-9._-]+)=(.+)", entry)
            name, url = named.groups() if named else ("", entry)
            yield _UvIndex(url, is_default, name)


def _from_table(table: Mapping[str, Any]) -> Iterator[_UvIndex]:
    indexes = table.get("index")
    for index in indexes if isinstance(indexes, list) else []:
        if isinstance(index, dict) and isinstance(index.get("url"), str) and not index.get("explicit"):
            name, has_login = str(index.get("name", "")), index.get("authenticate") != "never"
            yield _UvIndex(index["url"], bool(index.get("default")), name, has_login)
    yield from (_UvIndex(url, is_default=True) for url in _texts([table], "index-url"))
    yield from (_UvIndex(url, is_default=False) for url in _texts([table], "extra-index-url"))


def _texts(tables: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    """Return the texts that tables have under a key, one or a list of them."""
    values = [value for table in tables if (value := table.get(key))]
    return [
        text for value in values for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)
    ]


def _with_login(index: _UvIndex, environ: Mapping[str, str]) -> str:
    """Put into a URL what UV_INDEX_{NAME}_USERNAME and _PASSWORD say, where it has no login of its own."""
    prefix = f"UV_INDEX_{re.sub(r'[^A-Za-z0-9]', '_', index.name).upper()}"
    variables = (os.fsencode(environ.get(f"{prefix}_{each}", "")) for each in ("USERNAME", "PASSWORD"))
    user, password = (quote(each, safe="") for each in variables)
    scheme, separator, rest = index.url.partition("://")
    is_wanted = index.name and index.has_login and (user or password)
    if not is_wanted or "@" in rest.partition("/")[0]:
        return index.url
    return f"{scheme}{separator}{user}{':' if password else ''}{password}@{rest}"


def _uv_files(environ: Mapping[str, str]) -> list[str]:
    """Return the files uv reads wherever it is started, the one that wins first."""
    if environ.get("UV_CONFIG_FILE"):
        return [environ["UV_CONFIG_FILE"]]
    if is_on("UV_NO_CONFIG", environ):
        return []
    user = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    system = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    if sys.platform == "win32":
        user, system = environ.get("APPDATA", ""), environ.get("PROGRAMDATA", "")
    return [os.path.join(folder, "uv", "uv.toml") for folder in [user, *system.split(os.pathsep), "/etc"] if folder]


def unread_files(environ: Mapping[str, str]) -> list[str]:
    """Return the files that uv reads and this Python does not: 3.10 has no reader of TOML."""
    return [] if CAN_READ_TOML else list(filter(os.path.isfile, _uv_files(environ)))


def _tables(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the table of a uv.toml and its table for `uv pip`; nothing where there is none that can be read.

    As for uv, a folder that they name is one beside the file, wherever the caller works.
    """
    if not CAN_READ_TOML or not os.path.isfile(path):
        return
    import tomllib

    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # its text may quote a password
        _log.warning("%s cannot be used: %s", path, type(error).__name__)
        return
    for each in (table, table.get("pip")):
        if isinstance(each, dict):
            folder, links = os.path.dirname(path), _texts([each], "find-links")
            yield each | {"find-links": [link if "://" in link else os.path.join(folder, link) for link in links]}


def public_index() -> str:
    """Return the public index's address as pip has it, of this environment or brought along by Python; else nothing.

    pip is read, not run: a distribution that has changed the address is followed.
    """
    for content in _modules_of_pip():
        if found := re.search(_PUBLIC_INDEX, content):
            return urljoin(found[1].decode(), "simple")
    return ""


def _modules_of_pip() -> Iterator[bytes]:
    spec = None
    with suppress(ImportError, ValueError):  # of a module that says nothing of where it came from
        spec = importlib.util.find_spec("pip")
    if spec is not None and spec.origin is not None:  # a mere folder of that name can be imported, too
        path = os.path.join(os.path.dirname(spec.origin), *_MODULE)
        with suppress(OSError, AttributeError):
            yield spec.loader.get_data(path)  # type: ignore[union-attr]  # of a zip file, too
    for wheel in _bundled_wheels():
        import zipfile

        with suppress(OSError, KeyError, zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:
            yield archive.read("/".join(("pip", *_MODULE)))


def _bundled_wheels() -> list[Path]:
    """Return the wheels of pip of ensurepip, or of the folder in which Linux distributions keep them, newest first."""
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = [Path(folder, "_bundled") for folder in (ensurepip and ensurepip.submodule_search_locations) or ()]
    shared = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = [wheel for folder in [*folders, *([Path(shared)] if shared else [])] for wheel in folder.glob("pip-*.whl")]
    return sorted(wheels, key=lambda wheel: version_key(wheel.name.split("-")[1]), reverse=True)
