"""The file a body is written to while it comes in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from modelboot._network.partial import PartialFile
from modelboot.errors import InstallError

BODY = bytes(range(256)) * 4096
HALF = len(BODY) // 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the part file lies; it does not exist yet."""
    folder = tmp_path / "stage"
    folder.mkdir()
    return folder / "x.whl.part"


@pytest.fixture
def note(path: Path) -> Path:
    """Return where the validator is noted."""
    return path.with_name("x.whl.part.json")


def sha256(content: bytes) -> str:
    """Hash some bytes."""
    return hashlib.sha256(content).hexdigest()


def leave(path: Path, content: bytes, validator: str | None) -> None:
    """Leave a part file as a call does that is broken off."""
    with PartialFile(path, "en_x 1.0.0") as part:
        part.set_validator(validator)
        part.write(content)


def test_part_new(path: Path) -> None:
    """A new part is empty, and nothing was noted."""
    with PartialFile(path, "en_x 1.0.0") as part:
        assert (part.size_bytes, part.validator, part.resumed, part.sha256) == (0, None, False, sha256(b""))


def test_part_written(path: Path) -> None:
    """Size and hash follow what is written."""
    with PartialFile(path, "en_x 1.0.0") as part:
        part.write(BODY[:HALF])
        assert (part.size_bytes, part.sha256) == (HALF, sha256(BODY[:HALF]))
        part.write(BODY[HALF:])
        assert (part.size_bytes, part.sha256) == (len(BODY), sha256(BODY))


def test_part_published(path: Path, note: Path) -> None:
    """A part that is published has its name alone, whole, also before the block ends."""
    with PartialFile(path, "en_x 1.0.0") as part:
        part.set_validator('"a"')
        part.write(BODY)
        assert note.exists()
        part.rename(path.with_name("x.whl"))
        assert [file.name for file in path.parent.iterdir()] == ["x.whl"]
        assert path.with_name("x.whl").read_bytes() == BODY
    assert [file.name for file in path.parent.iterdir()] == ["x.whl"]


@pytest.mark.parametrize("validator", ['"a"', "Wed, 21 Oct 2015 07:28:00 GMT", None])
def test_part_taken_up_again(path: Path, validator: str | None) -> None:
    """What a killed call left is hashed, and goes on where it ended, with what the server knew it by."""
    leave(path, BODY[:HALF], validator)
    with PartialFile(path, "en_x 1.0.0") as part:
        assert (part.size_bytes, part.validator, part.resumed) == (HALF, validator, True)
        assert part.sha256 == sha256(BODY[:HALF])
        part.write(BODY[HALF:])
        assert part.sha256 == sha256(BODY)
        part.rename(path.with_name("x.whl"))
    assert path.with_name("x.whl").read_bytes() == BODY


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '"x"', "\udcff"], ids=["empty", "torn", "list", "object", "text", "bytes"]
)
def test_part_taken_up_with_a_torn_note(path: Path, note: Path, text: str) -> None:
    """A note that cannot be read counts for none."""
    leave(path, BODY[:HALF], '"a"')
    note.write_bytes(text.encode("utf-8", "surrogateescape"))
    with PartialFile(path, "en_x 1.0.0") as part:
        assert (part.size_bytes, part.validator) == (HALF, None)


def test_part_empty_with_a_note(path: Path, note: Path) -> None:
    """A note beside an empty file counts for nothing: there is nothing to resume."""
    path.touch()
    note.write_text('{"validator": "a"}', "utf-8")
    with PartialFile(path, "en_x 1.0.0") as part:
        assert (part.validator, part.resumed) == (None, False)


@pytest.mark.parametrize(
    ("validators", "noted"),
    [(['"a"'], '"a"'), (['"a"', '"a"'], '"a"'), (['"a"', '"b"'], '"b"'), ([None], None), (['"a"', None], None)],
    ids=["one", "same", "other", "none", "none-any-more"],
)
def test_part_note(path: Path, note: Path, validators: list[str | None], noted: str | None) -> None:
    """What is noted is what the last answer said."""
    with PartialFile(path, "en_x 1.0.0") as part:
        for validator in validators:
            part.set_validator(validator)
        assert part.validator == noted
        assert [json.loads(file.read_text("utf-8")) for file in path.parent.glob(note.name)] == (
            [] if noted is None else [{"validator": noted}]
        )


def test_part_restarted(path: Path, note: Path) -> None:
    """A restart drops bytes, hash and note; what is written then is all there is."""
    leave(path, BODY[:HALF], '"a"')
    with PartialFile(path, "en_x 1.0.0") as part:
        part.write(b"more")
        part.discard()
        assert (part.size_bytes, part.validator, part.resumed, part.sha256) == (0, None, False, sha256(b""))
        assert not note.exists()
        part.write(BODY)
        assert part.sha256 == sha256(BODY)
        part.rename(path.with_name("x.whl"))
    assert path.with_name("x.whl").read_bytes() == BODY


def test_part_after_failure(path: Path) -> None:
    """A failure leaves neither part nor note."""
    with pytest.raises(ValueError, match=r"^no$"), PartialFile(path, "en_x 1.0.0") as part:  # noqa: PT012 - all of it
        part.set_validator('"a"')
        part.write(BODY)
        raise ValueError("no")
    assert not [*path.parent.iterdir()]


def test_part_after_interrupt(path: Path, note: Path) -> None:
    """Ctrl-C leaves part and note, to be resumed."""
    with pytest.raises(KeyboardInterrupt, match=r"^$"), PartialFile(path, "en_x 1.0.0") as part:  # noqa: PT012
        part.set_validator('"a"')
        part.write(BODY[:HALF])
        raise KeyboardInterrupt
    assert path.read_bytes() == BODY[:HALF]
    assert json.loads(note.read_text("utf-8")) == {"validator": '"a"'}


def test_part_left_alone(path: Path, note: Path) -> None:
    """A transfer that is broken off without a failure leaves part and note, to be resumed."""
    with PartialFile(path, "en_x 1.0.0") as part:
        part.set_validator('"a"')
        part.write(BODY[:HALF])
    assert path.read_bytes() == BODY[:HALF]
    assert json.loads(note.read_text("utf-8")) == {"validator": '"a"'}


@pytest.mark.parametrize("size_bytes", [1, len(BODY)], ids=["small", "large"])
def test_part_on_full_disk(path: Path, size_bytes: int) -> None:
    """A full disk is an InstallError of its own kind, whenever it shows, and leaves nothing."""
    path.symlink_to("/dev/full")
    with (  # noqa: PT012 - it may show at either
        pytest.raises(InstallError, match="No space left on device") as full,
        PartialFile(path, "en_x 1.0.0") as part,
    ):
        part.write(BODY[:size_bytes])
        part.rename(path.with_name("x.whl"))
    assert (full.value.fault, full.value.path, full.value.model) == ("space", str(path), "en_x 1.0.0")
    assert not [*path.parent.iterdir()]


def test_part_note_on_full_disk(path: Path, note: Path) -> None:
    """A note that cannot be written is told as the disk's fault, too."""
    note.symlink_to("/dev/full")
    with pytest.raises(InstallError, match="No space left on device"), PartialFile(path, "en_x 1.0.0") as part:
        part.set_validator('"a"')
    assert not [*path.parent.iterdir()]


def test_part_folder_absent(tmp_path: Path) -> None:
    """A folder that is not there is told in the system's words."""
    with pytest.raises(InstallError, match="No such file or directory") as absent:
        PartialFile(tmp_path / "absent" / "x.part", "en_x 1.0.0").__enter__()
    assert absent.value.fault == "system"
