"""A login for a package index from the user's keyring: the module where it can be imported, else the program."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from modelboot._deadline import Deadline
from modelboot._threads import background

MODULE = "keyring"
"""Name of the module and of the program."""
_log = logging.getLogger(__name__)


def login_for(url: str, user: str | None, provider: str, deadline: Deadline) -> tuple[str, str] | None:
    """Return the user and password that a keyring has for an index.

    Args:
        url: The index, without a login. Its URL is looked up first, then its host, as by pip and uv.
        user: Who is looked up; the program finds no login without a name.
        provider: What pip or uv is told: "auto" and "import" ask the module, "subprocess" the program, "disabled" none.
        deadline: Until when to wait: a keyring may want to be unlocked first.
    """
    ask = {"auto": _ask_module, "import": _ask_module, "subprocess": _ask_program}.get(provider)
    found: list[tuple[str, str]] = []

    def look() -> None:
        for service in (url, urlsplit(url).netloc):
            if ask and not found and (login := ask(service, user, deadline)):
                found.append(login)

    # Nothing else limits the wait for a module that shows a dialog.
    thread = background(threading.Thread(target=look), "keyring")
    with suppress(RuntimeError):  # where the system allows no more threads, no keyring is asked
        thread.start()
        thread.join(deadline.remaining_s)
    return found[0] if found else None


def _ask_module(service: str, user: str | None, _: Deadline) -> tuple[str, str] | None:
    try:
        found = importlib.import_module(MODULE).get_credential(service, user)
        login = None if found is None else (found.username, found.password)
    except ImportError:
        return None
    except Exception as error:  # noqa: BLE001 - of whatever backend there is; its text may quote a password
        _log.warning("the keyring cannot be used: %s", type(error).__name__)
        return None
    return login if login and all(isinstance(each, str) for each in login) else None


def _ask_program(service: str, user: str | None, deadline: Deadline) -> tuple[str, str] | None:
    program = shutil.which(MODULE)
    if program is None or user is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the user's own program, which a setting names
            [program, "get", service, user],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            check=False,
            timeout=deadline.remaining_s,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("the program %s cannot be used: %s", program, type(error).__name__)
        return None
    password = done.stdout.decode("utf-8", errors="replace").rstrip("\r\n")
    return (user, password) if done.returncode == 0 and password else None
