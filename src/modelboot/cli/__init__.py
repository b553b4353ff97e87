"""The command line: `modelboot` and `python -m modelboot`."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after the program's name; those of this process when None.

    Returns:
        Exit status: 0 done, 1 the operation failed, 130 interrupted.

    Raises:
        SystemExit: Status 2 for wrong usage, 0 for `--help`, as argparse does.
    """
    if arguments is None:
        arguments = sys.argv[1:]
        # The process is the program's own and soon over. To look for garbage while modules are imported, and once more
        # at the end, would take a tenth of an install.
        gc.disable()
        atexit.register(gc.freeze)
    from modelboot.cli.run import run

    return run(arguments)
