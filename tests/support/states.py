"""The states an install starts from, one attempt in a forked child, and the judgement of what it left behind.

Nothing here imports spaCy: the wheels hold a few small files, and one attempt takes some milliseconds.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from modelboot import ModelbootError, ModelPin, ensure_model
from support import children, folders, layers
from support.wheels import DIST_INFO, NAME, OLDER, VERSION, small_wheel, unzipped

if TYPE_CHECKING:
    from support.folders import Entry

    Step = Callable[["Builder", "Sandbox"], object]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folders of one attempt."""

    root: Path

    @property
    def target(self) -> Path:
        """The folder models are installed into."""
        return self.root / "target"

    def ensure(self, pin: ModelPin) -> Path:
        """Run the code under test, with this sandbox's folders as its settings."""
        folders = {"MODELBOOT_TARGET": str(self.target), "MODELBOOT_HOME": str(self.root / "home")}
        os.environ.update(folders, MODELBOOT_INDEX="0", MODELBOOT_PROGRESS="0", MODELBOOT_DEADLINE="20")
        return ensure_model(pin).path


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    kind: str
    """installed, refused (a ModelbootError), raised (anything else), interrupted, killed, or wedged: it hung."""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def result(self) -> str:
        """What an attempt that must succeed returned."""
        assert self.kind == "installed", self
        return self.facts["result"]


def skip_unless_possible(name: str, folder: Path) -> None:
    """Skip the test, saying why, where a state cannot be built.

    Args:
        name: A key of `STATES`.
        folder: Scratch space to be made.
    """
    import pytest

    if sys.platform != "linux":
        pytest.skip("what a process does to its files is read from /proc")
    if name in LAYERED:
        layers.skip_without_overlay(folder)


def attempt(work: Callable[[], object]) -> Outcome:
    """Run something in a forked child and return how that ended.

    Args:
        work: What to run; its result becomes text.
    """
    (answer,) = children.forked([lambda: _described(work)])
    return Outcome(**answer) if isinstance(answer, dict) else Outcome("killed" if answer == children.DIED else answer)


def _described(work: Callable[[], object]) -> dict[str, object]:
    try:
        return {"kind": "installed", "facts": {"result": str(work())}}
    except ModelbootError as error:
        return {"kind": "refused", "facts": {"message": error.message, "hint": error.hint}}
    except KeyboardInterrupt:
        return {"kind": "interrupted"}
    except BaseException:  # noqa: BLE001 - the very thing the sweep looks for
        return {"kind": "raised", "facts": {"traceback": traceback.format_exc()}}


def import_ahead() -> None:
    """Import what a cold call imports on its way: else each child that is forked later would import it again.

    A child installs a wheel of its own and tells what that imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        sandbox, pin = Sandbox(Path(folder)), small_wheel(Path(folder, "wheels")).pin

        def install() -> str:
            sandbox.ensure(pin)
            return " ".join(sys.modules)

        for name in attempt(install).result.split():
            importlib.import_module(name)


@dataclass(frozen=True, slots=True)
class State:
    """A state an install starts from, kept as a template to copy, and what must become of it."""

    template: Sandbox
    pin: ModelPin
    others: dict[str, Entry]
    """What does not belong to modelboot, as a snapshot."""
    before: dict[str, Entry]
    """Everything, as a snapshot."""
    layered: bool = False
    """Whether the target is an overlay mount, and what the template has in it lies in the lower layer."""

    @contextmanager
    def sandbox(self, root: Path) -> Iterator[Sandbox]:
        """Copy the template to a folder, or mount it there, and remove all of it at the end."""
        if self.layered:
            layers.mount(self.template.target, root / "target")
        else:
            shutil.copytree(self.template.root, root, symlinks=True)
        try:
            yield Sandbox(root)
        finally:
            if self.layered:
                layers.unmount(root / "target")
            shutil.rmtree(root)

    def torn(self, sandbox: Sandbox) -> list[str]:
        """List what a reader would take for installed and find incomplete; earlier damage does not count."""
        damaged, changed = folders.sightings(self.template.root, NAME), self.changed(sandbox)

        def is_as_before(dist_info: str, state: str) -> bool:
            package = str(Path(dist_info).with_name(NAME))
            return damaged.get(dist_info) == state and not any(
                path == top or path.startswith(f"{top}/") for top in (dist_info, package) for path in changed
            )

        return [
            f"{path}: {state}"
            for path, state in folders.sightings(sandbox.root, NAME).items()
            if state != "complete" and not is_as_before(path, state)
        ]

    def changed(self, sandbox: Sandbox) -> list[str]:
        """List what is not as it was before, in the folders everybody sees."""
        return _differences(self.before, _seen(sandbox.root))

    def lost(self, sandbox: Sandbox) -> list[str]:
        """List the files of others that are gone or altered."""
        now = _seen(sandbox.root)
        return _differences(self.others, {path: state for path, state in now.items() if path in self.others})

    def lacking(self, sandbox: Sandbox) -> str | None:
        """Say what keeps the pinned model from being installed, complete and alone; None when nothing does."""
        seen = {path: state for path, state in folders.sightings(sandbox.root, NAME).items() if path not in self.others}
        if [(Path(path).name, state) for path, state in seen.items()] != [(DIST_INFO, "complete")]:
            return f"seen: {seen}"
        origin = json.loads((sandbox.root / next(iter(seen)) / "direct_url.json").read_text("utf-8"))
        return None if origin["archive_info"]["hashes"]["sha256"] == self.pin.sha256 else f"from {origin}"

    def left(self, sandbox: Sandbox) -> list[str]:
        """List what belongs neither to others nor to RECORD; lock files may stay."""
        accounted = set(self.others)
        for path in folders.sightings(sandbox.root, NAME):
            accounted |= {str(Path(path).parent / file) for file in folders.recorded(sandbox.root / path)}
        return _others(sandbox.root, accounted | {str(parent) for path in accounted for parent in Path(path).parents})

    def added(self, sandbox: Sandbox) -> list[str]:
        """List what was not there before, in modelboot's own work folders too; lock files may stay."""
        return _others(sandbox.root, folders.everything(self.template.root))

    def copies_of_wheel(self, sandbox: Sandbox) -> list[str]:
        """List the copies of the wheel that lie anywhere."""
        wheel = Path(unquote(urlsplit(self.pin.release_url).path)).read_bytes()
        return [str(path) for path in sandbox.root.rglob("*") if path.is_file() and path.read_bytes() == wheel]


def _others(root: Path, accounted: set[str]) -> list[str]:
    found = map(Path, folders.everything(root) - accounted)
    return sorted(
        str(path)
        for path in found
        if path.name != folders.WORK and not (path.parent.name == folders.WORK and path.suffix == ".lock")
    )


def _differences(before: dict[str, Entry], now: dict[str, Entry]) -> list[str]:
    return sorted(path for path in {*before, *now} if before.get(path) != now.get(path))


def _seen(root: Path) -> dict[str, Entry]:
    """Record what everybody sees; a copy counts as equal."""
    return folders.snapshot(root, without=[folders.WORK], copies=True)


class Builder:
    """Builds states in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Build the wheels of both versions."""
        import_ahead()
        self._folder = folder
        self._old = small_wheel(folder / "wheels", OLDER)
        self.old = self._old.pin
        self.new = small_wheel(folder / "wheels").pin
        self.other_build = small_wheel(folder / "other", weight_bytes=801).pin

    def state(self, name: str) -> State:
        """Build one state.

        Args:
            name: A key of `STATES`.
        """
        sandbox = Sandbox(self._folder / "templates" / name)
        sandbox.root.mkdir(parents=True)
        others, own = STATES[name]
        others(self, sandbox)
        snapshot = _seen(sandbox.root)
        own(self, sandbox)
        return State(sandbox, self.new, snapshot, _seen(sandbox.root), layered=name in LAYERED)

    def install(self, sandbox: Sandbox, pin: ModelPin) -> Path:
        """Install by the code under test, undisturbed, and return the folder it went to."""
        return Path(attempt(lambda: sandbox.ensure(pin)).result).parent.parent

    def install_by_pip(self, sandbox: Sandbox) -> None:
        """Install the older version as pip would."""
        unzipped(self._old, sandbox.target)


def _nothing(_: Builder, __: Sandbox) -> None:
    """Leave it as it is."""


def _neighbour(_: Builder, sandbox: Sandbox) -> None:
    """Put another program's package there, of a name that begins like the model's."""
    for folder in (f"{NAME}_more", f"{NAME}_more-1.0.dist-info"):
        (sandbox.target / folder).mkdir(parents=True)
        (sandbox.target / folder / "RECORD").write_text("", "utf-8")


def _hand_made_package(builder: Builder, sandbox: Sandbox) -> None:
    builder.install_by_pip(sandbox)
    shutil.rmtree(sandbox.target / f"{NAME}-{OLDER}.dist-info")


def _cut_short(builder: Builder, sandbox: Sandbox) -> None:
    folder = builder.install(sandbox, builder.new)
    os.truncate(folder / NAME / f"{NAME}-{VERSION}" / "tagger" / "model", 100)


def _two_dist_infos(builder: Builder, sandbox: Sandbox) -> None:
    folder = builder.install(sandbox, builder.old)
    older = folder / f"{NAME}-{OLDER}.dist-info"
    kept = shutil.copytree(older, sandbox.root.with_suffix(".kept"))
    builder.install(sandbox, builder.new)
    kept.rename(older)
    os.truncate(folder / NAME / "__init__.py", 0)


def _all_but(top: str) -> Step:
    return lambda builder, sandbox: shutil.rmtree(builder.install(sandbox, builder.new) / top)


STATES: dict[str, tuple[Step, Step]] = {
    "fresh": (_nothing, _nothing),
    "replace": (_neighbour, lambda builder, sandbox: builder.install(sandbox, builder.old)),
    "repair": (_neighbour, _cut_short),
    "store-without-dist-info": (_all_but(DIST_INFO), _nothing),
    "repair-without-package": (_nothing, _all_but(NAME)),
    "repair-two-dist-infos": (_nothing, _two_dist_infos),
    "store": (Builder.install_by_pip, _nothing),
    "store-repair": (Builder.install_by_pip, _cut_short),
    "store-foreign-package": (_hand_made_package, _nothing),
    "two-builds": (lambda builder, sandbox: builder.install(sandbox, builder.other_build), _nothing),
    "lower-layer": (_cut_short, _nothing),
}
"""By name: what others put there first, and what modelboot's own part is."""
MAIN = ("fresh", "replace", "repair")
LAYERED = ("lower-layer",)
"""States that need an overlay mount, and so root: see `skip_unless_possible`."""
STAND_IN = ("store-foreign-package", "two-builds", "lower-layer")
"""States in which the store has to stand in for a target that could be written."""
