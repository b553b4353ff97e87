"""What must be refused is refused, says why, and leaves the target exactly as it was.

Each breach of the archive policy has its own words: see unit/install/test_archive.py. That no source may give other
bytes is in test_pinned_bytes.py, unit/sources/test_fetch.py and test_index.py there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import HashMismatchError, InstallError, ModelPin, ensure_model
from support.folders import WORK, leftovers, snapshot
from support.wheels import NAME, OLDER, Tampering, altered, small_wheel


def _other_package(target: Path) -> None:
    """Put another program's package there."""
    for path in (target / "other" / "__init__.py", target / "other-1.0.dist-info" / "RECORD"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x = 1\n")


def _older_version(target: Path) -> None:
    """Install an older version of the same model, which a good wheel would replace."""
    ensure_model(small_wheel(target.with_name("older"), OLDER).pin, target=target)


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


@pytest.mark.parametrize("fill", [Path.mkdir, _other_package, _older_version])
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
