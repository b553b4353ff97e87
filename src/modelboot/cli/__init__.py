"""The command line: commands, exit status, and the one boundary where errors become two lines.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from modelboot._catalog import DEFAULT_MODEL, catalog, resolve
from modelboot._install.ensure import ensure_model
from modelboot._install.installed import Installed, find_installed, list_installed
from modelboot._install.installed import verify as verify_installed
from modelboot._install.provision import provision
from modelboot._install.publish import uninstall
from modelboot._install.target import targets_in_use
from modelboot._limits import Deadline
from modelboot._settings import directory, read_settings
from modelboot.cli import commands as _report
from modelboot.cli.output import log_to_stderr, make_stdout_forgiving, one_line
from modelboot.errors import ModelbootError

DONE, FAILED = 0, 1  # 2 is wrong usage, with which argparse itself ends the program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after the program's name; those of this process when None.

    Returns:
        Exit status: 0 done, 1 the operation failed.

    Raises:
        SystemExit: Status 2 for wrong usage, 0 for `--help`, as argparse does.
    """
    options = _parser().parse_args(arguments)
    log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    make_stdout_forgiving()
    try:
        options.run(options)
        sys.stdout.flush()
    except (ModelbootError, _CommandError) as error:
        return _fail(error.message, error.hint, debug=options.debug)
    except KeyboardInterrupt:
        return _fail("interrupted", "nothing half-done was left; run it again", debug=options.debug)
    except BrokenPipeError:  # `modelboot list --available | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a file that may not be read, a disk that cannot be
        return _fail(
            _refused(error), "nothing was changed; mend the cause named above and run it again", debug=options.debug
        )
    except Exception as error:  # noqa: BLE001 - a bug; a user gets two lines of it, too
        return _fail(f"{type(error).__name__}: {error}", ModelbootError().hint, debug=options.debug)
    return DONE


class _CommandError(Exception):
    """A command ends without success, though nothing in the library failed."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep what failed and what to do next, a line each."""
        super().__init__(message)
        self.message, self.hint = message, hint


def _fail(message: str, hint: str, *, debug: bool) -> int:
    """Tell what failed and what to do next, a line each, whatever an exception says of itself."""
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {one_line(message)}\nhint: {one_line(hint)}\n")
    return FAILED


def _refused(error: OSError) -> str:
    """Word what the operating system refused: the file first, where there is one."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelboot",
        description="Pinned spaCy pipelines: fetched, verified by SHA-256, installed whole or not at all.",
        epilog="Settings are read from MODELBOOT_* variables. Exit status: 0 done, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"modelboot {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one_model = {"metavar": "MODEL", "nargs": "?", "default": DEFAULT_MODEL}

    install = _command(commands, "install", _install, "install models unless they are there")
    install.add_argument("models", metavar="MODEL", nargs="*", help=f"name or name==version ({DEFAULT_MODEL})")

    check = _command(commands, "check", _check, "install, load and try a model, and show what was found")
    check.add_argument("model", **one_model, help=f"name or name==version ({DEFAULT_MODEL})")  # type: ignore[arg-type]

    listing = _command(commands, "list", _list, "show what is installed and whether it is whole")
    listing.add_argument("--available", action="store_true", help="show the catalog with its hashes instead")

    verify = _command(commands, "verify", _verify, "hash every file of installed models again")
    verify.add_argument("models", metavar="MODEL", nargs="*", help="name or name==version (all that are installed)")

    uninstall = _command(commands, "uninstall", _uninstall, "remove models that modelboot installed")
    uninstall.add_argument("models", metavar="MODEL", nargs="+", help="name or name==version")

    fetch = _command(commands, "fetch", _fetch, "put verified wheels into a wheelhouse")
    fetch.add_argument("models", metavar="MODEL", nargs="+", help="name or name==version")
    fetch.add_argument("--dest", metavar="DIR", required=True, help="the wheelhouse, laid out as the release tree")

    doctor = _command(commands, "doctor", _doctor, "show settings, places, locks and which sources answer")
    doctor.add_argument("model", **one_model, help=f"model to ask the sources for ({DEFAULT_MODEL})")  # type: ignore[arg-type]

    pin = _command(commands, "pin", _pin, "print the line that pins a model")
    pin.add_argument("model", **one_model, help=f"name or name==version ({DEFAULT_MODEL})")  # type: ignore[arg-type]
    pin.add_argument(
        "--format", choices=sorted(_report.PIN_FORMATS), default="python", help="what the line is for (python)"
    )
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
) -> argparse.ArgumentParser:
    """Add a command with the options that all have."""
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.add_argument("--debug", action="store_true", help="log everything and show tracebacks")
    command.set_defaults(run=run)
    return command


def _version() -> str:
    import modelboot

    return str(modelboot.__version__)


def _print(options: argparse.Namespace, facts: object, text: str) -> None:
    """Print a result; JSON in ASCII alone, so that no encoding of stdout can spoil it."""
    sys.stdout.write(f"{json.dumps(facts, indent=2) if options.json else text}\n")


def _install(options: argparse.Namespace) -> None:
    installed = []
    for model in options.models or [DEFAULT_MODEL]:
        installed.append(ensure_model(model))
        if not options.json:
            _print(options, None, _report.installed_line(installed[-1]))
    if options.json:
        _print(options, [_report.installed_facts(model) for model in installed], "")


def _check(options: argparse.Namespace) -> None:
    from modelboot.cli.check import trial

    result = trial(options.model)
    _print(options, _report.trial_facts(result), _report.trial_text(result, is_terminal=sys.stdout.isatty()))


def _list(options: argparse.Namespace) -> None:
    if options.available:
        entries = catalog()
        _print(options, [_report.entry_facts(entry) for entry in entries], _report.catalog_text(entries))
    else:
        items = list_installed(targets_in_use(read_settings()))
        _print(options, [_report.item_facts(item) for item in items], _report.inventory_text(items))


def _verify(options: argparse.Namespace) -> None:
    items = _named(options.models) or list_installed(targets_in_use(read_settings()))
    audits = [(item, verify_installed(item)) for item in items]
    lines = [line for item, issues in audits for line in _report.audit_lines(item, issues)]
    facts = [{**_report.item_facts(item), "issues": issues} for item, issues in audits]
    _print(options, facts, "\n".join(lines) or _report.inventory_text([]))
    damaged = [str(item) for item, issues in audits if issues]
    if damaged:
        hint = "`modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back"
        raise _CommandError(f"not as it was installed: {', '.join(damaged)}", hint)


def _uninstall(options: argparse.Namespace) -> None:
    deadline_s = read_settings().deadline_s
    items = _named(options.models)
    facts = [_report.item_facts(item) for item in items]  # afterwards there is nothing left to read
    for item in items:
        uninstall(item, Deadline.after(deadline_s))
        if not options.json:
            _print(options, None, f"{item}  removed  {item.folder}")
    if options.json:
        _print(options, facts, "")


def _named(models: Sequence[str]) -> list[Installed]:
    """List what a user has named, each once."""
    return [*dict.fromkeys(item for model in models for item in _installed(model))]


def _installed(model: str) -> list[Installed]:
    items = find_installed(model, targets_in_use(read_settings()))
    if not items:
        raise _CommandError(f"{model} is not installed", "`modelboot list` shows what is, and where it was looked for")
    return items


def _fetch(options: argparse.Namespace) -> None:
    settings, dest = read_settings(), directory(options.dest)
    wheels = []
    for model in options.models:
        wheels.append(provision(resolve(model), dest, settings))
        if not options.json:
            _print(options, None, _report.wheel_line(wheels[-1]))
    if options.json:
        _print(options, [_report.wheel_facts(wheel) for wheel in wheels], "")


def _doctor(options: argparse.Namespace) -> None:
    from modelboot.cli.doctor import diagnose

    settings = read_settings()
    diagnosis = diagnose(resolve(options.model), settings)
    _print(options, _report.diagnosis_facts(diagnosis), _report.diagnosis_text(diagnosis))


def _pin(options: argparse.Namespace) -> None:
    pin = resolve(options.model)
    _print(options, _report.pin_facts(pin), _report.PIN_FORMATS[options.format](pin))
