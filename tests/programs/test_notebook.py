"""A Jupyter kernel: the bar below the cell, a model that is there without a restart, Ctrl-C, and short errors."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.readme import blocks
from support.real import NAME
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

pytest.importorskip("ipykernel", reason="the package ipykernel, of the extra test, is not installed")
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell showed."""

    stderr: str
    stdout: str
    error: str
    """Name of the exception it ended with; empty if it ended well."""
    traceback: str


@dataclass(slots=True)
class Kernel:
    """A Jupyter kernel in a process of its own."""

    manager: Any
    client: Any
    messages: list[dict[str, Any]] = field(default_factory=list)

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        self.messages.clear()
        self.client.execute_interactive(code, output_hook=self.messages.append, timeout=TIMEOUT_S, allow_stdin=False)
        close_loop()
        (error,) = self._contents("error") or [{"ename": "", "traceback": []}]
        streams = self._contents("stream")
        shown = {
            name: "".join(each["text"] for each in streams if each["name"] == name) for name in ("stderr", "stdout")
        }
        return Cell(**shown, error=error["ename"], traceback="\n".join(error["traceback"]))

    def _contents(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]


def close_loop() -> None:
    """Close the event loop that the client opens for each of its calls and leaves open."""
    from jupyter_core.utils import ensure_event_loop

    ensure_event_loop().close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """Return a kernel that no variable tells to draw a bar, or not to."""
    from jupyter_client.manager import start_new_kernel

    monkeypatch.delenv("MODELBOOT_PROGRESS")
    manager, client = start_new_kernel(startup_timeout=TIMEOUT_S)
    close_loop()
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        close_loop()


def pin_code(wheel: BuiltWheel, url: str) -> str:
    """Write the lines of a cell that name a pin."""
    facts = ", ".join(map(repr, (wheel.name, wheel.version, wheel.sha256)))
    return f"from modelboot import ModelPin, get_nlp\nPIN = ModelPin({facts}, url={url!r})\n"


def test_cold_call_in_a_notebook(kernel: Kernel, server: ModelServer, tiny: BuiltWheel) -> None:
    """A first call shows a bar with the model's name and loads it at once; later cells find it, and show nothing."""
    pin = server.publish(tiny)
    first = kernel.run(f"{pin_code(tiny, str(pin.url))}nlp = get_nlp(PIN)\nprint(nlp.pipe_names)")
    assert (first.error, first.stdout) == ("", "['sentencizer']\n")
    assert re.search(r"\ren_tiny_sm 1\.0\.0: +\d+%\|", first.stderr)
    second = kernel.run("print([sentence.text for sentence in get_nlp(PIN)('One. Two.').sents])")
    assert (second.error, second.stdout, second.stderr) == ("", "['One.', 'Two.']\n", "")


def test_interrupted_cell(kernel: Kernel, server: ModelServer, tiny: BuiltWheel) -> None:
    """A cell that is interrupted during the download ends at once; run again, it works."""
    pin = server.publish(tiny, Reply(body=tiny.content, stall="body"), Reply(body=tiny.content))
    interrupting = threading.Thread(target=_interrupt, args=(kernel, lambda: server.wait_for(f"/{tiny.path.name}")))
    interrupting.start()
    cell = f"{pin_code(tiny, str(pin.url))}print(get_nlp(PIN).pipe_names)"
    interrupted = kernel.run(cell)
    interrupting.join()
    assert (interrupted.error, interrupted.stdout) == ("KeyboardInterrupt", "")
    again = kernel.run(cell)
    assert (again.error, again.stdout) == ("", "['sentencizer']\n")


def _interrupt(kernel: Kernel, has_begun: Callable[[], bool]) -> None:
    assert has_begun()
    kernel.manager.interrupt_kernel()
    close_loop()


def test_error_in_a_notebook(kernel: Kernel, server: ModelServer, tiny: BuiltWheel) -> None:
    """An error shows the line of the cell, what failed and what to do, and none of the frames between."""
    cell = f"{pin_code(tiny, f'{server.url}/absent.whl')}def nouns():\n    return get_nlp(PIN)\nnouns()"
    shown = kernel.run(cell)
    lines = shown.traceback.splitlines()
    assert shown.error == "DownloadError"
    assert len(lines) <= 12, shown.traceback
    assert "    return get_nlp(PIN)" in lines
    assert lines[-1].startswith("hint: ")
    assert "modelboot/" not in shown.traceback
    assert "site-packages" not in shown.traceback


@pytest.mark.index
def test_readme_section(kernel: Kernel, real_wheel: BuiltWheel) -> None:
    """README's cell works as it stands."""
    (code,) = blocks("In a notebook", "python")
    assert f'"{NAME}"' in code
    kernel.run(f"import os; os.environ['MODELBOOT_WHEELHOUSE'] = {json.dumps(str(real_wheel.path.parent))}")
    shown = kernel.run(code)
    assert shown.error == "", shown.traceback
    assert "Paris" in shown.stdout
