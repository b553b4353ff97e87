"""Every wording of every error, and what else all errors can do."""

from __future__ import annotations

import copy
import errno
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import get_annotations

import pytest

from modelboot.errors import (
    Attempt,
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

SHA = "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"
OTHER_SHA = "0" * 64
HOUSE = Attempt(source="wheelhouse", where="/wheels", reason="no en_core_web_sm-3.8.0-py3-none-any.whl")
MIRROR = Attempt(source="mirror", where="https://mirror/x.whl", reason="HTTP 404 Not Found")
OTHER = Attempt(
    source="index", where="pip download", reason=f"got sha256 {OTHER_SHA}", got_sha256=OTHER_SHA, got_bytes=7
)


@dataclass(frozen=True)
class Case:
    """An error and what it must say."""

    error: ModelbootError
    message: str
    hint: str


def install_error(fault: str, hint: str) -> Case:
    """Give the case of one kind of fault; the message is the same for all."""
    error = InstallError(model="en_core_web_sm 3.8.0", path="/target", fault=fault, reason="it broke")  # type: ignore[arg-type]  # the table's keys are the literals
    return Case(error, "could not install en_core_web_sm 3.8.0: /target: it broke", hint)


DOWNLOAD_HINT = (
    "check the network and proxy (`modelboot doctor`), set MODELBOOT_BASE_URL to a mirror of the release tree, or put "
    "the wheel into a folder and set MODELBOOT_WHEELHOUSE to that folder"
)
LACKING = Attempt(source="mirror", where="https://mirror/x.whl", reason="HTTP 404 Not Found", kind="missing")
EMPTY = Attempt(source="wheelhouse", where="/wheels", reason="no x.whl", kind="missing")
ABSENT = Attempt(source="wheelhouse", where="/w", reason="no such folder", kind="missing", hint="make /w")
NOT_THERE = Attempt(source="index", where="pip download", reason="No matching distribution", kind="missing")
REFUSED = Attempt(source="release", where="https://host/x.whl", reason="Connection refused")
HINTS: dict[str, tuple[tuple[Attempt, ...], str]] = {
    "mirror lacks it": ((LACKING,), "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"),
    "two mirrors lack it": ((LACKING, LACKING), "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"),
    "mirror and index lack it": (
        (LACKING, NOT_THERE), "put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"
    ),
    "wheelhouse lacks it, release refused": (
        (EMPTY, REFUSED), f"put the wheel into the folder that MODELBOOT_WHEELHOUSE names, or {DOWNLOAD_HINT}"
    ),
    "no wheelhouse, mirror lacks it": (
        (ABSENT, LACKING), "make /w, or put the wheel on the mirror, or fix the path in MODELBOOT_BASE_URL"
    ),
    "release refused, index lacks it": ((REFUSED, NOT_THERE), DOWNLOAD_HINT),
    "index alone lacks it": ((NOT_THERE,), DOWNLOAD_HINT),
}  # fmt: skip


@pytest.mark.parametrize(("attempts", "hint"), HINTS.values(), ids=HINTS)
def test_hint_fits_the_sources(attempts: tuple[Attempt, ...], hint: str) -> None:
    """What a source knows to help comes first; the network is named only where it may be the cause."""
    assert DownloadError(name="xx", version="1.0", sha256=SHA, attempts=attempts).hint == hint


MISSING_HINT = "`modelboot list --available` shows all names; `modelboot pin` pins any other wheel"
CASES = {
    "root": Case(ModelbootError(), "modelboot failed", "run the command again with --debug and report what it prints"),
    "settings": Case(
        SettingsError(variable="MODELBOOT_RETRIES", value="many\n", accepted="a whole number from 0 up"),
        r"MODELBOOT_RETRIES='many\n' is not a whole number from 0 up",
        "fix MODELBOOT_RETRIES",
    ),
    "unknown-name": Case(
        UnknownModelError(name="zz"), "Can't find model 'zz': the catalog has no pipeline of that name", MISSING_HINT
    ),
    "unknown-name-with-near-ones": Case(
        UnknownModelError(name="en_core_web", near=("en_core_web_sm", "en_core_web_md")),
        "Can't find model 'en_core_web': the catalog has no pipeline of that name",
        f"did you mean en_core_web_sm or en_core_web_md? {MISSING_HINT}",
    ),
    "unknown-version": Case(
        UnknownModelError(name="xx", version="9.9", known_versions=("3.7.0", "3.8.0"), near=("xx",)),
        "Can't find model 'xx': the catalog has no xx 9.9, only 3.7.0, 3.8.0",
        f"did you mean xx==3.8.0 or xx==3.7.0? {MISSING_HINT}",
    ),
    "incompatible-missing": Case(
        IncompatibleError(model="ja_core_news_sm 3.8.0", unmet=(("sudachipy>=0.5.2", None),)),
        "ja_core_news_sm 3.8.0 needs sudachipy>=0.5.2 (not installed)",
        "run `pip install 'sudachipy>=0.5.2'`",
    ),
    "incompatible-several": Case(
        IncompatibleError(
            model="ja_core_news_sm 3.8.0", unmet=(("a>=2", "1.0"), ("b", None)), command="uv pip install"
        ),
        "ja_core_news_sm 3.8.0 needs a>=2 (1.0 is installed); b (not installed)",
        "run `uv pip install 'a>=2' 'b'`",
    ),
    "offline": Case(
        OfflineError(name="xx", version="1.0", url="https://host/x.whl", reference="xx==1.0"),
        "Can't find model 'xx': xx 1.0 is not installed, and https://host/x.whl may not be fetched offline "
        "(MODELBOOT_OFFLINE=1 or offline=True)",
        "where there is a network run `modelboot fetch xx==1.0 --dest wheelhouse`, then bring that folder here and set "
        "MODELBOOT_WHEELHOUSE to it",
    ),
    "offline-own-wheel": Case(
        OfflineError(name="xx", version="1.0", url="https://host/x", reference=f"xx @ https://host/x#sha256={SHA}"),
        "Can't find model 'xx': xx 1.0 is not installed, and https://host/x may not be fetched offline "
        "(MODELBOOT_OFFLINE=1 or offline=True)",
        f'where there is a network run `modelboot fetch "xx @ https://host/x#sha256={SHA}" --dest wheelhouse`, then '
        "bring that folder here and set MODELBOOT_WHEELHOUSE to it",
    ),
    "offline-pin": Case(
        OfflineError(name="x.whl", version="", url="https://host/x.whl", reference=None),
        "Can't find model 'x.whl': https://host/x.whl may not be fetched offline (MODELBOOT_OFFLINE=1 or offline=True)",
        "run this command where there is a network",
    ),
    "offline-after-a-wheelhouse": Case(
        OfflineError(name="xx", version="1.0", url="https://host/x.whl", reference="xx==1.0", attempts=(HOUSE,)),
        "Can't find model 'xx': "
        "xx 1.0 is not installed, and https://host/x.whl may not be fetched offline "
        "(MODELBOOT_OFFLINE=1 or offline=True): "
        "wheelhouse (/wheels): no en_core_web_sm-3.8.0-py3-none-any.whl",
        "where there is a network run `modelboot fetch xx==1.0 --dest wheelhouse`, then bring that folder here and set "
        "MODELBOOT_WHEELHOUSE to it",
    ),
    "download": Case(
        DownloadError(name="xx", version="1.0", sha256=SHA, attempts=(HOUSE, MIRROR)),
        "Can't find model 'xx': "
        f"could not get xx 1.0 (sha256 {SHA}): wheelhouse (/wheels): no en_core_web_sm-3.8.0-py3-none-any.whl; "
        "mirror (https://mirror/x.whl): HTTP 404 Not Found",
        DOWNLOAD_HINT,
    ),
    "hash-mismatch": Case(
        HashMismatchError(name="xx", version="1.0", sha256=SHA, attempts=(OTHER,)),
        "Can't find model 'xx': "
        f"refused xx 1.0: not the pinned bytes, expected sha256 {SHA}: index (pip download): got sha256 {OTHER_SHA}",
        "do not use that file: ask whoever runs the source for the original wheel, or take it from another source "
        "(MODELBOOT_WHEELHOUSE, MODELBOOT_BASE_URL)",
    ),
    "install-archive": install_error(
        "archive", "this wheel cannot be installed by modelboot; rebuild it with `spacy package` and pin the new hash"
    ),
    "install-busy": install_error(
        "busy", "wait for the other process or end it; MODELBOOT_DEADLINE sets how long to wait, in seconds"
    ),
    "install-owner": install_error(
        "owner",
        "modelboot removes only what it installed; use the program that did, or move your own files away first",
    ),
    "uninstall": Case(
        InstallError(model="xx 1.0", path="/target", fault="system", reason="no luck", action="uninstall"),
        "could not uninstall xx 1.0: /target: no luck",
        "nothing was changed; fix the cause named above and run it again",
    ),
    "install-permissions": install_error(
        "permissions",
        "run as a user who may write there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder you may write to",
    ),
    "install-space": install_error(
        "space",
        "free some disk space there, or set MODELBOOT_TARGET or MODELBOOT_HOME to a folder on another file system",
    ),
    "install-system": install_error("system", "nothing was changed; fix the cause named above and run it again"),
    "load": Case(
        LoadError(model="xx 1.0", path="/target/xx/xx-1.0", reason="ValueError: [E002] no factory"),
        "could not load xx 1.0 from /target/xx/xx-1.0: ValueError: [E002] no factory",
        "look at the cause: spaCy's version and plugins, memory, open files; `modelboot verify` checks the files",
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def family(root: type[ModelbootError]) -> Iterator[type[ModelbootError]]:
    """Walk modelboot's error classes from the root down."""
    yield root
    for leaf in root.__subclasses__():
        yield from family(leaf)


def facts(error: ModelbootError) -> dict[str, object]:
    """Give everything an error was told."""
    classes = (each for each in type(error).__mro__ if issubclass(each, ModelbootError))
    names = [name for each in classes for name in get_annotations(each) if not name.startswith("_")]
    return {name: getattr(error, name) for name in names}


@cases
def test_error_wording(case: Case) -> None:
    """An error says exactly this, and exactly this about what to do next."""
    assert (case.error.message, case.error.hint) == (case.message, case.hint)


@cases
def test_error_as_text(case: Case) -> None:
    """An error's text is its message on one line and its hint on another."""
    assert str(case.error).splitlines() == [case.message, f"hint: {case.hint}"]


def test_error_classes_have_cases() -> None:
    """No class is without a wording under test."""
    assert {type(case.error) for case in CASES.values()} == set(family(ModelbootError))


def test_install_error_faults_have_cases() -> None:
    """No kind of fault is without a hint under test."""
    from modelboot.errors import _INSTALL_HINTS

    tested = {case.error.fault for case in CASES.values() if isinstance(case.error, InstallError)}
    assert tested == set(_INSTALL_HINTS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@cases
def test_error_survives_pickling(case: Case, protocol: int) -> None:
    """An error that crossed a process border is of its class, with every fact and every word."""
    revived = pickle.loads(pickle.dumps(case.error, protocol))  # noqa: S301 - pickled a moment ago
    assert type(revived) is type(case.error)
    assert (facts(revived), str(revived)) == (facts(case.error), str(case.error))


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
@cases
def test_error_survives_copying(case: Case, copier: Callable[[ModelbootError], ModelbootError]) -> None:
    """A copy is another object of the same class, with every fact."""
    twin = copier(case.error)
    assert twin is not case.error
    assert (type(twin), facts(twin)) == (type(case.error), facts(case.error))


@cases
def test_error_repr(case: Case) -> None:
    """What a debugger shows is the call that would make the error: its class and every fact, by keyword."""
    classes = {each.__name__: each for each in (type(case.error), Attempt)}
    assert facts(eval(repr(case.error), classes)) == facts(case.error)  # noqa: S307 - our own error


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"variable": "X", "value": "1"}, "SettingsError() got no accepted"),
        ({"variable": "X", "value": "1", "accepted": "2", "hint": "3"}, "SettingsError() takes no hint"),
    ],
    ids=["missing", "unknown"],
)
def test_error_takes_its_facts_only(given: dict[str, str], fault: str) -> None:
    """A fact that is missing or that the class does not know is a TypeError, as with any function."""
    with pytest.raises(TypeError, match=re.escape(fault)):
        SettingsError(**given)


def test_error_is_compared_by_identity() -> None:
    """Two failures are two, even when their facts are equal, and can be kept in a set."""
    assert len({ModelbootError(), ModelbootError()}) == 2


@pytest.mark.parametrize(
    ("error", "parent"),
    [(SettingsError, ValueError), (HashMismatchError, DownloadError)],
    ids=["settings", "hash-mismatch"],
)
def test_error_parent(error: type[ModelbootError], parent: type[Exception]) -> None:
    """Who catches the wider class catches the narrower one."""
    assert issubclass(error, parent)


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.EROFS, "permissions"),
        (errno.ENOSPC, "space"),
        (errno.EDQUOT, "space"),
        (errno.EFBIG, "space"),
        (errno.EIO, "system"),
        (errno.EMFILE, "system"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value,
)
def test_from_os_error_fault(number: int, fault: str) -> None:
    """What the operating system refused decides on the hint."""
    error = InstallError.from_os_error(OSError(number, "refused"), model="xx 1.0", path="/target")
    assert (error.model, error.path, error.fault, error.reason) == ("xx 1.0", "/target", fault, "refused")


@pytest.mark.parametrize(
    ("refusal", "path", "reason"),
    [
        (OSError(errno.EACCES, "denied", "/target/xx"), "/target/xx", "denied"),
        (OSError(errno.EACCES, "denied"), "/target", "denied"),
        (OSError("only words"), "/target", "only words"),
        (OSError(), "/target", "OSError"),
    ],
    ids=["names-a-file", "names-no-file", "no-number", "says-nothing"],
)
def test_from_os_error_facts(refusal: OSError, path: str, reason: str) -> None:
    """The file a refusal names wins over the folder that was worked on, and there is always a reason."""
    error = InstallError.from_os_error(refusal, model="xx 1.0", path="/target")
    assert (error.path, error.reason) == (path, reason)


DOWNLOAD_HINTS = {
    "page": (
        "a login page, proxy or mirror answered instead of the release: sign in to the network, set HTTPS_PROXY, or "
        "fix MODELBOOT_BASE_URL"
    ),
    "login": "check the login or the token that was given; `modelboot doctor` shows which settings are in force",
    "certificate": "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to the PEM file of the CA your network uses",
    "short": (
        "the connection is interrupted: run it again, raise MODELBOOT_RETRIES, or set MODELBOOT_BASE_URL to a "
        "nearer mirror"
    ),
    "other": DOWNLOAD_HINT,
}


@pytest.mark.parametrize(
    ("kinds", "hint"),
    [
        (["page"], "page"),
        (["certificate"], "certificate"),
        (["short"], "short"),
        (["other"], "other"),
        ([], "other"),
        (["other", "short", "other"], "short"),
        (["short", "certificate"], "certificate"),
        (["other", "login"], "login"),
        (["certificate", "short", "page", "other"], "page"),
    ],
    ids="-".join,
)
def test_download_hint(kinds: list[str], hint: str) -> None:
    """The hint is about the most telling of the failures."""
    attempts = tuple(Attempt(source="mirror", where="x", reason="y", kind=kind) for kind in kinds)  # type: ignore[arg-type]  # the table's kinds are the literals
    assert DownloadError(name="xx", version="1.0", sha256=SHA, attempts=attempts).hint == DOWNLOAD_HINTS[hint]


@pytest.mark.parametrize("hint", [*DOWNLOAD_HINTS.values(), CASES["hash-mismatch"].hint])
def test_hint_never_weakens(hint: str) -> None:
    """No hint suggests that a check be skipped."""
    assert not re.search(r"verify|insecure|skip|disable|ignore|trusted-host|http:", hint)


NO_PIPELINE = {"unknown-name", "unknown-version", "offline", "download", "hash-mismatch"}


@pytest.mark.parametrize("case", sorted(NO_PIPELINE | {"install-archive", "load"}))
def test_error_without_a_pipeline_is_an_os_error(case: str) -> None:
    """What programs around `spacy.load` catch, they catch here, too, and find the words they look for."""
    with pytest.raises(OSError, match=r"hint: ") as caught:
        raise CASES[case].error
    assert str(caught.value).startswith("Can't find model ") == (case in NO_PIPELINE)


@pytest.mark.parametrize("case", ["settings", "incompatible-missing", "root"])
def test_other_error_is_no_os_error(case: str) -> None:
    """What installing again would not mend is not taken for a missing pipeline."""
    assert not isinstance(CASES[case].error, OSError)


@pytest.mark.parametrize("case", sorted(CASES))
def test_error_lines(case: str) -> None:
    """Its lines say what its message says, one source a line where several were asked."""
    error = CASES[case].error
    attempts = getattr(error, "attempts", ())
    assert error.lines == ((error.message,) if len(attempts) < 2 else (error.lines[0], *map(str, attempts)))
    assert all(line in error.message for line in error.lines)
