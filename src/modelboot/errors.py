"""Every exception that modelboot raises, with its message and its hint.

Code that raises passes facts by keyword; the class turns them into a message (what failed, on what, expected and got)
and a hint (what to do next). The facts stay as attributes. Of modelboot this module imports only `_redact`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from modelboot._redact import printable

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Tell type checkers alone what the constructors accept (PEP 681)."""
        return lambda cls: cls


__all__ = [
    "Attempt",
    "DownloadError",
    "HashMismatchError",
    "IncompatibleError",
    "InstallError",
    "LoadError",
    "ModelbootError",
    "OfflineError",
    "SettingsError",
    "UnknownModelError",
]


def cannot_find(name: str) -> str:
    """Say that there is no such model as spaCy says it: programs around `spacy.load` look for these words."""
    return f"Can't find model {name!r}"


SourceName = Literal["cache", "wheelhouse", "release", "mirror", "index"]
ReportedSource = Literal["present", "cache", "wheelhouse", "release", "index"]
"""Where a wheel or a model came from: "present" if it was there already; a mirror counts as the release."""
Kind = Literal["bytes", "certificate", "auth", "missing", "not_a_wheel", "short", "other"]
"""What an attempt failed on, as far as it decides what to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request for a wheel that failed."""

    source: SourceName
    where: str
    """Folder, URL (without credentials) or program that was asked."""
    reason: str
    """Why it failed, as the end of a sentence."""
    kind: Kind = "other"
    got_sha256: str | None = None
    """Digest of what was received instead of the pinned wheel; None when nothing was hashed."""
    got_bytes: int | None = None
    """Length of what was received, in bytes; None when nothing was hashed."""
    hint: str | None = None
    """What would help, as the beginning of a sentence; None where the source itself knows nothing."""

    def __post_init__(self) -> None:
        """Keep what may be shown of a server's or a program's words."""
        for name in ("where", "reason"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.source} ({self.where}): {self.reason}"


def _callers_frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """Walk a traceback from the notebook's cell to the last line that is not modelboot's own."""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if module == "modelboot":
            return
        if module != "IPython":
            yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


@dataclass_transform(kw_only_default=True, eq_default=False)
class ModelbootError(Exception):
    """Root of everything modelboot raises on purpose. Those that mean that there is no pipeline are OSError, too.

    Attributes:
        message: What failed, on what, expected and got, on one line.
        hint: What to do next, on one line.
        remembered_s: Seconds for which this failure is still repeated without another try; None for a first one.
    """

    remembered_s: float | None = None
    _fact_names: ClassVar[tuple[str, ...]] = ("remembered_s",)

    def __init__(self, **facts: object) -> None:
        """Keep the facts.

        No dataclass: to write code for ten constructors took longer at each start than all else in this module.

        Args:
            facts: What the annotations of the class name; those with a value there may be left out.

        Raises:
            TypeError: One is missing, or is none of them.
        """
        names = {*self._fact_names}
        if not facts.keys() <= names or not all(hasattr(type(self), name) for name in names - facts.keys()):
            message = f"{type(self).__name__} takes {', '.join(self._fact_names)}, got {', '.join(facts)}"
            raise TypeError(message)
        super().__init__()
        vars(self).update(facts)

    def __init_subclass__(cls) -> None:
        """Learn the names of the facts."""
        cls._fact_names += tuple(cls.__annotations__)

    @property
    def message(self) -> str:
        """What failed, on one line that a terminal shows as text, whatever the facts hold."""
        summary, *texts = self.lines
        return f"{summary}: {'; '.join(texts)}" if texts else summary

    @property
    def lines(self) -> tuple[str, ...]:
        """The message, each attempt on a line of its own where there are several."""
        summary, texts = printable(self._summary()), [*map(str, getattr(self, "attempts", ()))]
        return (f"{summary}: {texts[0]}",) if len(texts) == 1 else (summary, *texts)

    @property
    def hint(self) -> str:
        """What to do next, on one line that a terminal shows as text."""
        return printable(self._hint())

    def _summary(self) -> str:
        """Return the message without the attempts."""
        return "modelboot failed"

    def _hint(self) -> str:
        return "run the command again with --debug and report what it prints"

    def __str__(self) -> str:
        return f"{self.message}{self._remark()}\nhint: {self.hint}"

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in self._facts().items())
        return f"{type(self).__name__}({facts})"

    def _remark(self) -> str:
        """Say of a repeated failure how long that lasts and what lifts it."""
        if self.remembered_s is None:
            return ""
        return (
            f" (remembered, and not tried again for {self.remembered_s:.0f} s; installing the model, "
            "changing a setting or get_nlp.cache_clear() ends that)"
        )

    def _render_traceback_(self) -> list[str]:
        """Give IPython the lines to show: the caller's own frames, message and hint."""
        import traceback

        frames = traceback.StackSummary.extract(_callers_frames(self.__traceback__))
        return ["Traceback (most recent call last):\n", *frames.format(), f"{type(self).__name__}: {self}"]

    def __copy__(self) -> Self:
        """Return it without traceback and causes, also where a library has taught pickle to keep those (tblib does)."""
        return type(self)(**self._facts())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the facts: a plain exception would be built again without them."""
        return partial(type(self), **self._facts()), ()

    def _facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fact_names}


class SettingsError(ModelbootError, ValueError):
    """A variable or an argument has a value that cannot be used."""

    variable: str
    value: str
    accepted: str
    """The accepted form, as the end of the sentence "… is not …"."""
    default: str | None = None
    """What holds when the variable is unset; None for what has no default."""

    def _summary(self) -> str:
        return f"{self.variable}={self.value!r} is not {self.accepted}"

    def _hint(self) -> str:
        """Name what to fix, and its default."""
        return (
            f"fix {self.variable}" if self.default is None else f"fix or unset {self.variable} (default {self.default})"
        )


class UnknownModelError(ModelbootError, OSError):
    """The catalog has no pipeline of that name or version."""

    name: str
    version: str | None = None
    known_versions: tuple[str, ...] = ()
    """Versions of that name in the catalog; empty when the name itself is unknown."""
    near: tuple[str, ...] = ()
    """Names in the catalog that look alike, the nearest first."""

    def _summary(self) -> str:
        if self.known_versions:
            reason = f"the catalog has no {self.name} {self.version}, only {', '.join(self.known_versions)}"
        else:
            reason = "the catalog has no pipeline of that name"
        return f"{cannot_find(self.name)}: {reason}"

    def _hint(self) -> str:
        """Near names or versions first, then the ways out."""
        guesses = [f"{self.name}=={version}" for version in reversed(self.known_versions)] or [*self.near]
        ask = f"did you mean {' or '.join(guesses)}? " if guesses else ""
        return f"{ask}`modelboot list --available` shows all names; `modelboot pin` pins any other wheel"


class IncompatibleError(ModelbootError):
    """What is installed does not fit the pipeline: spaCy itself, or a package the pipeline needs."""

    model: str
    """Name and version of the pipeline."""
    unmet: tuple[tuple[str, str | None], ...]
    """Each requirement that is not met, with the installed version or None."""
    command: str = "pip install"
    """What installs packages in this environment."""

    def _summary(self) -> str:
        needs = "; ".join(
            f"{requirement} ({'not installed' if found is None else f'{found} is installed'})"
            for requirement, found in self.unmet
        )
        return f"{self.model} needs {needs}"

    def _hint(self) -> str:
        """The command that installs what is missing."""
        return f"run `{self.command} {' '.join(repr(requirement) for requirement, _ in self.unmet)}`"


def _quoted(argument: str) -> str:
    """Write an argument so that every shell takes it for one."""
    return f'"{argument}"' if " " in argument else argument


class OfflineError(ModelbootError, OSError):
    """The model is not installed, and the network is switched off."""

    name: str
    version: str
    url: str
    """Release URL of the wheel that is missing."""
    reference: str | None
    """What names this wheel to `modelboot fetch`, without credentials; None for a wheel that is not pinned yet."""
    attempts: tuple[Attempt, ...] = ()

    def _summary(self) -> str:
        missing = "" if self.reference is None else f"{self.name} {self.version} is not installed, and "
        reason = f"{missing}{self.url} may not be fetched offline (MODELBOOT_OFFLINE=1 or offline=True)"
        return f"{cannot_find(self.name)}: {reason}"

    def _hint(self) -> str:
        """First the hints of the places searched, then the command that gets the wheel where there is a network."""
        fetch = (
            "run this command where there is a network"
            if self.reference is None
            else f"where there is a network run `modelboot fetch {_quoted(self.reference)} --dest wheelhouse`, then "
            "bring that folder here and set MODELBOOT_WHEELHOUSE to it"
        )
        return ", or ".join(dict.fromkeys([*(attempt.hint for attempt in self.attempts if attempt.hint), fetch]))


class DownloadError(ModelbootError, OSError):
    """No source gave the wheel."""

    name: str
    version: str
    sha256: str
    attempts: tuple[Attempt, ...]
    """Every source that was asked, in order, each with its reason."""

    def _summary(self) -> str:
        reason = f"could not get {self.name} {self.version} (sha256 {self.sha256})"
        return f"{cannot_find(self.name)}: {reason}"

    def _hint(self) -> str:
        """First the hints of the sources, then what to do about the clearest of the failures."""
        hints = [attempt.hint or _missing_hint(attempt) for attempt in self.attempts]
        kinds = {attempt.kind for attempt, hint in zip(self.attempts, hints, strict=True) if hint is None}
        clearest = [hint for kind, hint in _DOWNLOAD_HINTS.items() if kind in kinds][:1]
        return ", or ".join(dict.fromkeys([*filter(None, hints), *clearest])) or _DOWNLOAD_HINTS["other"]


def _missing_hint(attempt: Attempt) -> str | None:
    """Return what helps where a source answered that it does not have the wheel; None for all other failures."""
    return _MISSING_HINTS.get(attempt.source, "") if attempt.kind == "missing" else None


_MISSING_HINTS: dict[SourceName, str] = {
    "cache": "",
    "wheelhouse": "put the wheel into the folder that MODELBOOT_WHEELHOUSE names",
    "release": "check the URL of the pin, or set MODELBOOT_BASE_URL to a mirror that has the wheel",
    "mirror": "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL",
    "index": "",  # which has few pipelines: nothing is wrong with it
}
"""What to do about a source that works and does not have the wheel."""


_DOWNLOAD_HINTS: dict[Kind, str] = {
    "not_a_wheel": (
        "a login page, proxy or mirror answered instead of the release: sign in to the network, set HTTPS_PROXY, or "
        "fix MODELBOOT_BASE_URL"
    ),
    "auth": "check the login or the token that was given; `modelboot doctor` shows which settings are in force",
    "certificate": "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA your network uses",
    "short": (
        "the connection is interrupted: run it again, raise MODELBOOT_RETRIES, or set MODELBOOT_BASE_URL to a "
        "nearer mirror"
    ),
    "other": (
        "check the network and proxy (`modelboot doctor`), set MODELBOOT_BASE_URL to a mirror of the release tree, or "
        "put the wheel into a folder and set MODELBOOT_WHEELHOUSE to that folder"
    ),
}
"""What to do next, the clearest failure first."""


class HashMismatchError(DownloadError):
    """A source gave bytes that are not the pinned ones, and no other source gave the wheel."""

    def _summary(self) -> str:
        reason = f"refused {self.name} {self.version}: not the pinned bytes, expected sha256 {self.sha256}"
        return f"{cannot_find(self.name)}: {reason}"

    def _hint(self) -> str:
        """Whom to ask. Never to skip the check."""
        return (
            "do not use that file: ask the owner of the source for the original wheel, or take it from another source "
            "(MODELBOOT_WHEELHOUSE, MODELBOOT_BASE_URL)"
        )


Action = Literal["fetch", "install", "pin", "uninstall"]
Fault = Literal["archive", "busy", "owner", "permissions", "space", "system"]

_ERRNO_FAULTS: dict[int | None, Fault] = {
    errno.EACCES: "permissions",
    errno.EPERM: "permissions",
    errno.EROFS: "permissions",
    errno.ENOSPC: "space",
    errno.EDQUOT: "space",
    errno.EFBIG: "space",
}

_INSTALL_HINTS: dict[Fault, str] = {
    "archive": "this wheel cannot be installed by modelboot; rebuild it with `spacy package` and pin the new hash",
    "busy": "wait for the other process or end it; MODELBOOT_DEADLINE sets how long to wait, in seconds",
    "owner": "modelboot removes only what it installed; use the program that did, or move your own files away first",
    "permissions": (
        "run as a user who may write there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder you may write to"
    ),
    "space": "free some disk space there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder on another file system",
    "system": "nothing was changed; fix the cause named above and run it again",
}


class InstallError(ModelbootError, OSError):
    """The verified wheel could not be put in place: permissions, disk space, another process, or the archive itself."""

    model: str
    """Name and version of the pipeline."""
    path: str
    """The file or folder it failed on."""
    fault: Fault
    reason: str
    """What is wrong, as the end of a sentence; several issues are separated by semicolons."""
    action: Action = "install"

    @classmethod
    def from_os_error(cls, error: OSError, *, model: str, path: str, action: Action = "install") -> InstallError:
        """Describe what the operating system refused.

        Args:
            error: The refusal; the file it names wins over `path`.
            model: Name and version of the pipeline.
            path: The file or folder that was worked on.
            action: What was being done.
        """
        reason = error.strerror or str(error) or type(error).__name__
        fault = _ERRNO_FAULTS.get(error.errno, "system")
        place = str(error.filename2 or error.filename or path)
        return cls(model=model, path=place, fault=fault, reason=reason, action=action)

    def _summary(self) -> str:
        return f"could not {self.action} {self.model}: {self.path}: {self.reason}"

    def _hint(self) -> str:
        """What to do about this kind of fault."""
        if self.action == "fetch" and self.fault in {"permissions", "space"}:
            return "name another folder with --dest, one you may write to, with enough disk space"
        return _INSTALL_HINTS[self.fault]


class LoadError(ModelbootError, OSError):
    """The model is installed, but spaCy cannot load it, and its files are not known to be damaged."""

    model: str
    """Name and version of the pipeline."""
    reason: str
    """What spaCy said, as the end of a sentence."""
    path: str = ""
    """Folder of the pipeline's data; empty when it was not even tried."""

    def _summary(self) -> str:
        place = f" from {self.path}" if self.path else ""
        return f"could not load {self.model}{place}: {self.reason}"

    def _hint(self) -> str:
        """Where to look: installing it again would not help."""
        return "look at the cause: spaCy's version and plugins, memory, open files; `modelboot verify` checks the files"
