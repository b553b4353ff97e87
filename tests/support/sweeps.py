"""Sweeps: installs are broken at each point of `crash` and `replay`, and what that leaves is judged.

Started as a program, because it forks: `python -m support.sweeps FOLDER STATE SWEEP EVERY` prints a report as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support import crash, replay
from support.children import environment
from support.layers import keep_mounts_private
from support.states import Builder, attempt

if TYPE_CHECKING:
    from support.states import Outcome, Sandbox, State

FAILURES = ("torn", "wedged", "left", "lost", "changed", "unclear")
"""What may not be found at any point of a sweep.

- torn: a reader saw a model as installed that was not complete
- wedged: the next plain call failed, or did not give the pinned model, complete and alone
- left: files that belong to no install after that call
- lost: files of others that were altered
- changed: the install said that it failed, and the target is not as it was before; or that it succeeded, and is not so;
  or it was killed with the model in place and the wheel still there
- unclear: the install failed in another way than by an error with message and hint
"""


@dataclass(slots=True)
class Report:
    """What one sweep of one state found."""

    sweep: str
    points: int = 0
    """Attempts in which the install was hit."""
    failures: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in FAILURES})
    """A line per failure, by kind."""

    def judge(self, state: State, sandbox: Sandbox, outcome: Outcome, point: str) -> None:
        """Look at what was left, let the next plain call heal it, and look again."""
        self.points += 1
        found = {
            "torn": state.torn(sandbox),
            "changed": _broken_promises(state, sandbox, outcome, self.sweep),
            "unclear": [] if _is_clear(outcome, self.sweep) else [str(outcome)],
        }
        healed = attempt(lambda: sandbox.ensure(state.pin))
        trouble = state.lacking(sandbox) if healed.kind == "installed" else str(healed)
        found |= {"wedged": [trouble] if trouble else [], "left": state.left(sandbox), "lost": state.lost(sandbox)}
        for kind, lines in found.items():
            self.failures[kind].extend(f"{point}: {line}" for line in lines)


def _broken_promises(state: State, sandbox: Sandbox, outcome: Outcome, sweep: str) -> list[str]:
    """Hold the state against what the install said of itself; one that was killed said nothing."""
    lacking = state.lacking(sandbox)
    if outcome.kind == "installed":
        return [lacking] if lacking else []
    if outcome.kind == "killed":
        return [] if lacking else state.copies_of_wheel(sandbox)
    if sweep == "EROFS-lasting" or (outcome.kind == "interrupted" and not lacking):
        return []
    return state.changed(sandbox) + state.added(sandbox)


def _is_clear(outcome: Outcome, sweep: str) -> bool:
    if outcome.kind == "refused":
        return all(text and "\n" not in text for text in (outcome.facts["message"], outcome.facts["hint"]))
    expected = "killed" if sweep in replay.SWEEPS else "interrupted" if sweep in crash.INTERRUPTS else "installed"
    return outcome.kind in {"installed", expected}


def run(folder: Path, state: str, sweep: str, *, every: int = 1) -> Report:
    """Run a sweep in a process of its own.

    Args:
        folder: Scratch space to be made.
        state: A key of `support.states.STATES`.
        sweep: A member of `crash.SWEEPS` or `replay.SWEEPS`.
        every: 1 for each point, n for every n-th and all renames.
    """
    command = [sys.executable, "-m", "support.sweeps", str(folder), state, sweep, str(every)]
    env = environment({"PYTHONDONTWRITEBYTECODE": "1"})
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert ended.returncode == 0, ended.stderr
    return Report(**json.loads(ended.stdout))


def main() -> None:
    """Run the sweep that the command line names, and print its report."""
    folder, name, sweep, every = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
    keep_mounts_private()
    os.fsync = lambda _: None  # type: ignore[assignment]  # saves the time; the replay keeps account of them
    state, root, report = Builder(folder).state(name), folder / "try", Report(sweep)
    points = (crash if sweep in crash.SWEEPS else replay).points(state, root, sweep)
    for number, point in enumerate(points):
        if number % every == 0 or point.kind == "os.rename":
            with state.sandbox(root) as sandbox:
                report.judge(state, sandbox, point.strike(sandbox), point.name)
    print(json.dumps(asdict(report)))  # noqa: T201 - a program's result


if __name__ == "__main__":
    main()
