"""A Jupyter kernel: the bar below the cell, a model that is there without a restart, Ctrl-C, and short errors."""

from __future__ import annotations

import importlib.util
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelboot import ModelPin
from support.children import STUB_SPACY, TIMEOUT_S, environment
from support.readme import blocks
from support.real import NAME
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, build_wheel

HAS_KERNEL = importlib.util.find_spec("ipykernel") is not None
pytestmark = pytest.mark.skipif(not HAS_KERNEL, reason="the package ipykernel, of the extra test, is not installed")


class Kernel(NamedTuple):
    """A Jupyter kernel in a process of its own."""

    manager: Any
    client: Any

    def run(self, code: str) -> dict[str, str]:
        """Run a cell to its end; return its stdout, stderr, error (the exception's name) and traceback, or ""."""
        shown: dict[str, str] = defaultdict(str)

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown[content["name"]] += content["text"]
            elif message["msg_type"] == "error":
                shown.update(error=content["ename"], traceback="\n".join(content["traceback"]))

        self.client.execute_interactive(code, output_hook=note, timeout=TIMEOUT_S, allow_stdin=False)
        close_loop()
        return shown


def close_loop() -> None:
    """Close the event loop that the client opens for each of its calls and leaves open."""
    from jupyter_core.utils import ensure_event_loop

    ensure_event_loop().close()


@contextmanager
def started(folder: Path, **changes: str | None) -> Iterator[Kernel]:
    """Start a kernel whose models lie in a folder, and which no variable tells to draw a bar, or not to."""
    from jupyter_client.manager import start_new_kernel

    changes |= {"MODELBOOT_TARGET": str(folder / "target"), "MODELBOOT_HOME": str(folder / "home")}
    changes |= {"MODELBOOT_PROGRESS": None, "MODELBOOT_INDEX": "0", "MODELBOOT_CACHE": "0"}
    manager, client = start_new_kernel(startup_timeout=TIMEOUT_S, env=environment(changes))
    close_loop()
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        close_loop()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Return the kernel in which the tests run their cells; it has the stub of spaCy."""
    with started(tmp_path_factory.mktemp("kernel"), **STUB_SPACY) as running:
        yield running


def pin_code(pin: ModelPin) -> str:
    """Write the lines of a cell that name a pin."""
    facts = ", ".join(map(repr, (pin.name, str(pin.version), pin.sha256)))
    return f"from modelboot import ModelPin, get_nlp\nPIN = ModelPin({facts}, url={str(pin.url)!r})\n"


def test_cold_call_in_a_notebook(kernel: Kernel, server: ModelServer, tiny: BuiltWheel) -> None:
    """A first call shows a bar with the model's name and loads it at once; later cells find it, and show nothing."""
    first = kernel.run(f"{pin_code(server.publish(tiny))}nlp = get_nlp(PIN)\nprint(nlp.pipe_names)")
    assert (first["error"], first["stdout"]) == ("", "['sentencizer']\n")
    assert re.search(r"\ren_tiny_sm 1\.0\.0: +\d+%\|", first["stderr"])
    second = kernel.run("print(len(get_nlp(PIN)('One. Two.').sents), get_nlp(PIN) is nlp)")
    assert (second["error"], second["stdout"], second["stderr"]) == ("", "2 True\n", "")


def test_interrupted_cell(kernel: Kernel, server: ModelServer, tmp_path: Path) -> None:
    """A cell that is interrupted during the download ends at once; run again, it works."""
    wheel = build_wheel(tmp_path, name="en_interrupted_sm")
    pin = server.publish(wheel, Reply(body=wheel.content, stall="body"), Reply(body=wheel.content))

    def interrupt() -> None:
        assert server.wait_for(f"/{wheel.path.name}")
        kernel.manager.interrupt_kernel()
        close_loop()

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    cell = f"{pin_code(pin)}print(get_nlp(PIN).pipe_names)"
    interrupted = kernel.run(cell)
    interrupting.join()
    assert (interrupted["error"], interrupted["stdout"]) == ("KeyboardInterrupt", "")
    again = kernel.run(cell)
    assert (again["error"], again["stdout"]) == ("", "['sentencizer']\n")


def test_error_in_a_notebook(kernel: Kernel, server: ModelServer, tiny: BuiltWheel) -> None:
    """An error shows the line of the cell, what failed and what to do, and none of the frames between."""
    absent = ModelPin("en_absent_sm", "1.0.0", tiny.sha256, url=f"{server.url}/absent.whl")
    shown = kernel.run(f"{pin_code(absent)}def nouns():\n    return get_nlp(PIN)\nnouns()")
    lines = shown["traceback"].splitlines()
    assert shown["error"] == "DownloadError"
    assert len(lines) <= 12, shown["traceback"]
    assert "    return get_nlp(PIN)" in lines
    assert lines[-1].startswith("hint: ")
    assert not re.search("modelboot/|site-packages", shown["traceback"])


@pytest.mark.index
@pytest.mark.exhaustive
def test_readme_section(real_wheel: BuiltWheel, tmp_path: Path) -> None:
    """README's cell works as it stands."""
    (code,) = blocks("In a notebook", "python")
    assert f'"{NAME}"' in code
    with started(tmp_path, MODELBOOT_WHEELHOUSE=str(real_wheel.path.parent)) as kernel:
        shown = kernel.run(code)
    assert shown["error"] == "", shown["traceback"]
    assert "Paris" in shown["stdout"]
