"""Other threads and signal handlers beside a call: none waits for itself, and what a handler raises is its own."""

from __future__ import annotations

import logging
import re
import signal
import sys

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._turns import raise_if_from_signal
from support.children import STUB_SPACY, pin_arguments, python
from support.server import ModelServer
from support.wheels import BuiltWheel


def test_what_no_signal_handler_raised_is_left_alone() -> None:
    """An error of the code's own is for the code to translate, also in an `except` block for what a handler raised.

    What a handler did raise: promises/test_network_faults.py, and spacy/test_load.py.
    """

    def fail(*_: object) -> None:
        raise TimeoutError

    def translate() -> None:
        try:
            fail(sys._getframe(1).f_lineno)  # noqa: SLF001 - documented
        except OSError as error:
            raise_if_from_signal(error)

    before = signal.signal(signal.SIGALRM, fail)
    try:
        signal.raise_signal(signal.SIGALRM)
    except TimeoutError:
        translate()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_logging_handler_that_asks_for_the_model_being_installed(
    wheel: BuiltWheel, server: ModelServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told at once who asked inside whom, and the install goes on."""
    pin, answers = server.publish(wheel), list[str]()

    def emit(_: logging.LogRecord) -> None:
        try:
            ensure_model(pin)
        except OSError as error:
            answers.append(str(error))

    monkeypatch.setattr(caplog.handler, "emit", emit)
    with caplog.at_level(logging.DEBUG, "modelboot"):
        assert ensure_model(pin).source == "release"
    asked = rf"a logging handler \(emit in {__file__}, line \d+\) asks for it inside the call that is getting it"
    assert answers
    assert all(re.search(asked, answer) for answer in answers)


WARM = """
import os, signal, sys, threading
from modelboot import ModelPin, ensure_model
pin = ModelPin(*sys.argv[1:4], url=sys.argv[4])
for _ in range(20):
    ensure_model(pin)
"""
SIGNALS = """
asked = []
signal.signal(signal.SIGALRM, lambda *_: asked.append(ensure_model(pin).source))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.005)
while len(asked) < 100:
    ensure_model(pin)
signal.setitimer(signal.ITIMER_REAL, 0)
print({*asked})
"""
FORKS = """
is_over = []
def ask():
    while not is_over:
        ensure_model(pin)
thread = threading.Thread(target=ask)
thread.start()
from support.children import forked
print({*forked([lambda: ensure_model(pin).source] * 200)})
is_over.append(True)
"""


@pytest.mark.parametrize("script", [SIGNALS, FORKS], ids=["signals", "forks"])
def test_warm_call_holds_no_lock(script: str, pin: ModelPin) -> None:
    """A signal handler that asks in the middle of a call, and children forked beside a thread that asks, all end."""
    ensure_model(pin)
    done = python(WARM + script, *pin_arguments(pin), env=STUB_SPACY)
    assert (done.stdout, done.stderr) == ("{'present'}\n", "")
