"""What must be refused is refused, says why, and leaves the target exactly as it was.

Each breach of the archive policy has its own words: see unit/install/test_archive.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import HashMismatchError, InstallError, ModelPin, ensure_model
from support.folders import WORK, leftovers, snapshot
from support.sources import point_pip_at, publish_to_index
from support.wheels import NAME, OLDER, BuiltWheel, Tampering, altered, build_wheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

NO_PIP = importlib.util.find_spec("pip") is None
SOURCES = [
    "wheelhouse",
    "mirror",
    pytest.param("index", marks=pytest.mark.skipif(NO_PIP, reason="needs pip in this environment")),
]


def give(source: str, path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one source give a file under the pinned name, and all others nothing."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    if source == "wheelhouse":
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(path.parent))
    elif source == "mirror":
        release = path.parent / path.name.removesuffix("-py3-none-any.whl")
        release.mkdir()
        path.rename(release / path.name)
        server.tree(path.parent)
    else:
        monkeypatch.setenv("MODELBOOT_INDEX", "1")
        point_pip_at(server.url, monkeypatch)
        publish_to_index(server, path)


@pytest.mark.parametrize("source", SOURCES)
def test_altered_wheel(  # noqa: PLR0913, PLR0917 - fixtures
    source: str, wheel: BuiltWheel, server: ModelServer, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One altered byte is refused with both digests, whichever source gave it; nothing is left."""
    wrong = altered(wheel, tmp_path / "wrong")
    digest = hashlib.sha256(wrong.read_bytes()).hexdigest()
    give(source, wrong, server, monkeypatch)
    with pytest.raises(HashMismatchError, match=f"expected sha256 {wheel.sha256}") as refused:
        ensure_model(wheel.pin_at(None))
    assert digest in refused.value.message
    told = [(attempt.source, attempt.got_sha256) for attempt in refused.value.attempts if attempt.got_sha256]
    assert told == [(source, digest)]
    assert leftovers(target) == []


def _empty(target: Path) -> None:
    target.mkdir()


def _other_package(target: Path) -> None:
    """Put a package of somebody else's there."""
    for path in (target / "other" / "__init__.py", target / "other-1.0.dist-info" / "RECORD"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x = 1\n")


def _older_version(target: Path) -> None:
    """Install an older version of the same model, which a good wheel would replace."""
    ensure_model(small_wheel(target.with_name("older"), OLDER).pin, target=target)


def _other_model(target: Path) -> None:
    """Install another model, so that modelboot has been at work there already."""
    members = {"en_other_sm/__init__.py": b""}
    ensure_model(build_wheel(target.with_name("other"), name="en_other_sm", members=members).pin, target=target)


def _with_other_bytes(folder: Path) -> ModelPin:
    """Pin a wheel of which the place it names has an altered copy."""
    wheel = small_wheel(folder)
    return wheel.pin_at(altered(wheel, folder / "wrong").as_uri())


def _against_the_policy(folder: Path) -> ModelPin:
    """Pin a wheel with a member that would be written above the target."""
    return small_wheel(folder, tampering=Tampering(extra={"../x": b"x"})).pin


def _with_a_wrong_member(folder: Path) -> ModelPin:
    """Pin a wheel of which only shows while its members are written that one is not what RECORD says."""
    return small_wheel(folder, tampering=Tampering(wrong_hashes=[f"{NAME}/meta.json"])).pin


@pytest.mark.parametrize("fill", [_empty, _other_package, _older_version, _other_model])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(_with_other_bytes, f"expected sha256 [0-9a-f]{{64}}.*{NAME}-1.0.0-py3", id="other-bytes"),
        pytest.param(_against_the_policy, rf"{NAME}-1.0.0-py3-none-any.whl: path '../x' leaves its", id="policy"),
        pytest.param(_with_a_wrong_member, r"meta\.json does not match its hash in RECORD", id="wrong-member"),
    ],
)
def test_refusal_leaves_the_target_as_it_was(
    make: Callable[[Path], ModelPin], message: str, fill: Callable[[Path], None], target: Path, tmp_path: Path
) -> None:
    """Whatever the target held, it and all around it are the same to the byte after a wheel that was refused."""
    fill(target)
    pin = make(tmp_path / "wheels")
    before, work = snapshot(tmp_path, without=[WORK]), leftovers(target)
    with pytest.raises((HashMismatchError, InstallError), match=message):
        ensure_model(pin)
    assert (snapshot(tmp_path, without=[WORK]), leftovers(target)) == (before, work)
