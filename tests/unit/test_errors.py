"""What every error says and can do: message, hint, facts, family, copies of it, and what it makes of an OSError."""

from __future__ import annotations

import copy
import errno
import pickle
import re
from collections.abc import Callable, Iterator
from typing import get_args, get_type_hints

import pytest

from modelboot import DownloadError, HashMismatchError, IncompatibleError, InstallError, LoadError, ModelbootError
from modelboot.errors import Attempt, OfflineError, SettingsError, UnknownModelError

SHA, OTHER_SHA = "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85", "0" * 64
MODEL = "en_core_web_sm 3.8.0"
HOUSE = Attempt(source="wheelhouse", where="/wheels", reason="no x.whl")
MIRROR = Attempt(source="mirror", where="https://mirror/x.whl", reason="HTTP 404 Not Found")
INDEX = Attempt(source="index", where="pip", reason=f"got sha256 {OTHER_SHA}", got_sha256=OTHER_SHA, got_bytes=7)
WEAKER = re.compile(r"(?<!modelboot )verify|insecure|skip|disable|ignore|trusted-host|http:")
"""What no hint may say: no check is ever to be left out."""

NOT_FOUND = "the catalog has no pipeline of that name"
OFFLINE = "https://host/x.whl may not be fetched offline (MODELBOOT_OFFLINE=1 or offline=True)"
NAMES_HINT = "`modelboot list --available` shows all names; `modelboot pin` pins any other wheel"
FETCH_HINT = (
    "where there is a network run `modelboot fetch {} --dest wheelhouse`, then bring that folder here and set "
    "MODELBOOT_WHEELHOUSE to it"
)
NETWORK_HINT = (
    "check the network and proxy (`modelboot doctor`), set MODELBOOT_BASE_URL to a mirror of the release tree, or put "
    "the wheel into a folder and set MODELBOOT_WHEELHOUSE to that folder"
)
MISMATCH_HINT = (
    "do not use that file: ask the owner of the source for the original wheel, or take it from another source "
    "(MODELBOOT_WHEELHOUSE, MODELBOOT_BASE_URL)"
)
LOAD_HINT = "look at the cause: spaCy's version and plugins, memory, open files; `modelboot verify` checks the files"
DEST_HINT = "name another folder with --dest, one you may write to, with enough disk space"
FAULT_HINTS = {
    "archive": "this wheel cannot be installed by modelboot; rebuild it with `spacy package` and pin the new hash",
    "busy": "wait for the other process or end it; MODELBOOT_DEADLINE sets how long to wait, in seconds",
    "owner": "modelboot removes only what it installed; use the program that did, or move your own files away first",
    "permissions": "run as a user who may write there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder you may "
    "write to",
    "space": "free some disk space there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder on another file system",
    "system": "nothing was changed; fix the cause named above and run it again",
}

Case = tuple[ModelbootError, str, str]
"""An error, its message and its hint."""


def offline(reference: str | None, *attempts: Attempt) -> OfflineError:
    """Make the error of a model that may not be fetched."""
    return OfflineError(name="xx", version="1.0", url="https://host/x.whl", reference=reference, attempts=attempts)


def refused(fault: str, hint: str, action: str = "install") -> Case:
    """Give the case of one kind of fault; the message is the same for all."""
    error = InstallError(model=MODEL, path="/target", fault=fault, reason="it broke", action=action)  # type: ignore[arg-type]  # the table's are the literals
    return error, f"could not {action} {MODEL}: /target: it broke", hint


CASES: list[Case] = [
    (ModelbootError(), "modelboot failed", "run the command again with --debug and report what it prints"),
    (SettingsError(variable="X", value="a\n", accepted="a number"), r"X='a\n' is not a number", "fix X"),
    (
        SettingsError(variable="X", value="2", accepted="0 or 1", default="1"),
        "X='2' is not 0 or 1",
        "fix or unset X (default 1)",
    ),
    (UnknownModelError(name="zz"), f"Can't find model 'zz': {NOT_FOUND}", NAMES_HINT),
    (
        UnknownModelError(name="en_web", near=("en_web_sm", "en_web_md")),
        f"Can't find model 'en_web': {NOT_FOUND}",
        f"did you mean en_web_sm or en_web_md? {NAMES_HINT}",
    ),
    (
        UnknownModelError(name="xx", version="9.9", known_versions=("3.7.0", "3.8.0"), near=("xx",)),
        "Can't find model 'xx': the catalog has no xx 9.9, only 3.7.0, 3.8.0",
        f"did you mean xx==3.8.0 or xx==3.7.0? {NAMES_HINT}",
    ),
    (
        IncompatibleError(model=MODEL, unmet=(("a>=2", "1.0"), ("b", None))),
        f"{MODEL} needs a>=2 (1.0 is installed); b (not installed)",
        "run `pip install 'a>=2' 'b'`",
    ),
    (
        offline(f"xx @ https://host/x#sha256={SHA}"),
        f"Can't find model 'xx': xx 1.0 is not installed, and {OFFLINE}",
        FETCH_HINT.format(f'"xx @ https://host/x#sha256={SHA}"'),
    ),
    (offline(None), f"Can't find model 'xx': {OFFLINE}", "run this command where there is a network"),
    (
        offline("xx==1.0", HOUSE),
        f"Can't find model 'xx': xx 1.0 is not installed, and {OFFLINE}: {HOUSE}",
        FETCH_HINT.format("xx==1.0"),
    ),
    (
        DownloadError(name="xx", version="1.0", sha256=SHA, attempts=(HOUSE, MIRROR)),
        f"Can't find model 'xx': could not get xx 1.0 (sha256 {SHA}): wheelhouse (/wheels): no x.whl; {MIRROR}",
        NETWORK_HINT,
    ),
    (
        HashMismatchError(name="xx", version="1.0", sha256=SHA, attempts=(INDEX,)),
        f"Can't find model 'xx': refused xx 1.0: not the pinned bytes, expected sha256 {SHA}: {INDEX}",
        MISMATCH_HINT,
    ),
    *(refused(fault, hint) for fault, hint in FAULT_HINTS.items()),
    refused("owner", FAULT_HINTS["owner"], "uninstall"),
    refused("space", DEST_HINT, "fetch"),
    refused("permissions", DEST_HINT, "fetch"),
    (LoadError(model="xx 1.0", path="/t/xx", reason="[E002]"), "could not load xx 1.0 from /t/xx: [E002]", LOAD_HINT),
]
NO_PIPELINE = {UnknownModelError, OfflineError, DownloadError, HashMismatchError}
"""What starts with spaCy's own words, and is an OSError: programs around `spacy.load` catch it and look for them."""


def family(root: type[ModelbootError]) -> Iterator[type[ModelbootError]]:
    """Walk modelboot's error classes from the root down."""
    yield root
    for leaf in root.__subclasses__():
        yield from family(leaf)


def test_error_classes() -> None:
    """Every class and every kind of fault has a wording under test; two classes are of a further family."""
    assert set(family(ModelbootError)) == {type(error) for error, _, _ in CASES}
    assert set(get_args(get_type_hints(InstallError)["fault"])) == set(FAULT_HINTS)
    assert issubclass(SettingsError, ValueError)
    assert issubclass(HashMismatchError, DownloadError)


@pytest.mark.parametrize(("error", "message", "hint"), CASES)
def test_error_wording(error: ModelbootError, message: str, hint: str) -> None:
    """An error has exactly this message and this hint, a line each; several sources have a line each, too.

    One that leaves the caller without a pipeline is an OSError, with spaCy's words if none was found.
    """
    assert (error.message, error.hint) == (message, hint)
    assert str(error) == f"{message}\nhint: {hint}"
    assert not WEAKER.search(hint)
    attempts = [*map(str, getattr(error, "attempts", ()))]
    assert error.lines == ((message,) if len(attempts) < 2 else (error.lines[0], *attempts))
    assert all(line in message for line in error.lines)

    assert isinstance(error, OSError) is (type(error) in NO_PIPELINE | {InstallError, LoadError})
    assert error.message.startswith("Can't find model ") is (type(error) in NO_PIPELINE)


def _evaluated(error: ModelbootError) -> ModelbootError:
    """Make an error from its repr."""
    made: ModelbootError = eval(repr(error), {type(error).__name__: type(error), "Attempt": Attempt})  # noqa: S307 - our own error
    return made


@pytest.mark.parametrize(
    "twin_of",
    [
        lambda error: pickle.loads(pickle.dumps(error, 0)),  # noqa: S301 - pickled a moment ago
        lambda error: pickle.loads(pickle.dumps(error)),  # noqa: S301 - pickled a moment ago
        *(copy.copy, copy.deepcopy, _evaluated),
    ],
    ids=["pickled as ever", "pickled", "copied", "copied deeply", "shown"],
)
@pytest.mark.parametrize("error", [error for error, _, _ in CASES])
def test_error_twin(error: ModelbootError, twin_of: Callable[[ModelbootError], ModelbootError]) -> None:
    """A copy, a pickled error and one made from the repr have the same class, facts and words."""
    twin = twin_of(error)
    assert twin is not error
    assert (type(twin), repr(twin), str(twin)) == (type(error), repr(error), str(error))


@pytest.mark.parametrize("more", [{}, {"accepted": "2", "hint": "3"}], ids=["missing", "unknown"])
def test_error_takes_its_facts_only(more: dict[str, str]) -> None:
    """A fact that is missing or that the class does not know is a TypeError, as with any function."""
    with pytest.raises(TypeError, match="hint" if more else "accepted"):
        SettingsError(variable="X", value="1", **more)


def test_error_is_compared_by_identity() -> None:
    """Two failures are two, even when their facts are equal, and can be kept in a set."""
    assert len({ModelbootError(), ModelbootError()}) == 2


def test_error_of_odd_words() -> None:
    """Whatever the facts hold, message and hint are a line each that a terminal shows as text."""
    error = LoadError(model="xx 1.0", path="/a\nb", reason="\x1b[31mred\u202e")
    assert error.message.isprintable()
    assert "b: " in error.message
    assert UnknownModelError(name="x", near=("\x1b]0;title",)).hint.isprintable()


@pytest.mark.parametrize(
    ("refusal", "path", "fault", "reason"),
    [
        *(
            (OSError(number, "no"), "/target", "permissions", "no")
            for number in (errno.EACCES, errno.EPERM, errno.EROFS)
        ),
        *((OSError(number, "no"), "/target", "space", "no") for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((OSError(number, "no"), "/target", "system", "no") for number in (errno.EIO, errno.EMFILE)),
        (OSError(errno.EACCES, "no", "/target/xx"), "/target/xx", "permissions", "no"),
        (OSError(errno.EXDEV, "no", "/a", None, "/b"), "/b", "system", "no"),
        (OSError("only words"), "/target", "system", "only words"),
        (OSError(), "/target", "system", "OSError"),
    ],
    ids=str,
)
def test_from_os_error(refusal: OSError, path: str, fault: str, reason: str) -> None:
    """The error number decides on the hint; the file it names wins over the folder; there is always a reason."""
    error = InstallError.from_os_error(refusal, model=MODEL, path="/target")
    assert (error.model, error.path, error.fault, error.reason) == (MODEL, path, fault, reason)


def failed(kind: str, source: str = "release", hint: str | None = None) -> Attempt:
    """Make an attempt that failed in one way."""
    return Attempt(source=source, where="x", reason="y", kind=kind, hint=hint)  # type: ignore[arg-type]  # the table's are the literals


KIND_HINTS = {
    "not_a_wheel": "a login page, proxy or mirror answered instead of the release: sign in to the network, set "
    "HTTPS_PROXY, or fix MODELBOOT_BASE_URL",
    "auth": "check the login or the token that was given; `modelboot doctor` shows which settings are in force",
    "certificate": "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA your network uses",
    "short": "the connection is interrupted: run it again, raise MODELBOOT_RETRIES, or set MODELBOOT_BASE_URL to a "
    "nearer mirror",
    "other": NETWORK_HINT,
}
AT_MIRROR = "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"
AT_RELEASE = "check the URL of the pin, or set MODELBOOT_BASE_URL to a mirror that has the wheel"
IN_HOUSE = "put the wheel into the folder that MODELBOOT_WHEELHOUSE names"
OTHER, NOT_AT_INDEX, NOT_AT_MIRROR = failed("other"), failed("missing", "index"), failed("missing", "mirror")
NOT_IN_HOUSE, NO_HOUSE = failed("missing", "wheelhouse"), failed("missing", "wheelhouse", "make /w")
KINDS = [*KIND_HINTS]
DOWNLOADS: dict[str, tuple[tuple[Attempt, ...], str]] = {
    **{kind: (tuple(map(failed, reversed(KINDS[n:]))), KIND_HINTS[kind]) for n, kind in enumerate(KINDS)},
    "none": ((), NETWORK_HINT),
    "release lacks it": ((failed("missing"),), AT_RELEASE),
    "two mirrors lack it": ((NOT_AT_MIRROR, NOT_AT_MIRROR), AT_MIRROR),
    "mirror and index lack it": ((NOT_AT_MIRROR, NOT_AT_INDEX), AT_MIRROR),
    "wheelhouse lacks it, release refused": ((NOT_IN_HOUSE, OTHER), f"{IN_HOUSE}, or {NETWORK_HINT}"),
    "no wheelhouse, mirror lacks it": ((NO_HOUSE, NOT_AT_MIRROR), f"make /w, or {AT_MIRROR}"),
    "release refused, index lacks it": ((OTHER, NOT_AT_INDEX), NETWORK_HINT),
    "index alone lacks it": ((NOT_AT_INDEX,), NETWORK_HINT),
}


@pytest.mark.parametrize(("attempts", "hint"), DOWNLOADS.values(), ids=DOWNLOADS)
def test_download_hint(attempts: tuple[Attempt, ...], hint: str) -> None:
    """The hint of a source comes first, then that of the clearest failure; no hint weakens a check."""
    assert DownloadError(name="xx", version="1.0", sha256=SHA, attempts=attempts).hint == hint
    assert not WEAKER.search(hint)
