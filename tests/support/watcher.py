"""Looks at a folder as fast as it can, as a reader who takes no lock, until its standard input ends.

Started as a program, `python -m support.watcher FOLDER NAME`: says "ready", and at the end prints its counts as JSON.
It judges by RECORD, sizes and existence. A model that is taken away while it is looked at is not torn: a look counts as
torn only when the same dist-info is still in its place afterwards. The open descriptor keeps its inode from being given
to another folder meanwhile.
"""

from __future__ import annotations

import csv
import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path


def main(folder: Path, name: str) -> None:
    """Look until there is no need any more."""
    looks: dict[str, int] = {"absent": 0, "whole": 0, "gone": 0, "torn": 0}
    details: list[str] = []
    print("ready", flush=True)  # noqa: T201 - a program's result
    while not select.select([sys.stdin], [], [], 0)[0]:
        seen, detail = look(folder, name)
        looks[seen] += 1
        details += [detail] if seen == "torn" else []
    print(json.dumps({**looks, "details": details[:10]}))  # noqa: T201 - a program's result


def look(folder: Path, name: str) -> tuple[str, str]:
    """Look once: "absent", "whole", "gone" (taken away meanwhile) or "torn", and why."""
    seen = ("absent", "")
    with suppress(FileNotFoundError):  # there is no such folder yet
        for entry in os.listdir(folder):  # noqa: PTH208 - as fast as it can
            if entry.startswith(f"{name}-") and entry.endswith(".dist-info"):
                seen = _judge(folder, entry)
                if seen[0] == "torn":
                    break
    return seen


def _judge(folder: Path, entry: str) -> tuple[str, str]:
    try:
        held = os.open(folder / entry, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return "gone", ""
    try:
        fault = _fault(folder, held)
        if not fault:
            return "whole", ""
        return ("torn", f"{entry}: {fault}") if _is_in_place(folder / entry, held) else ("gone", "")
    finally:
        os.close(held)


def _fault(folder: Path, dist_info: int) -> str:
    """Name the first recorded file that is not there or not of its size."""
    try:
        with os.fdopen(os.open("RECORD", os.O_RDONLY, dir_fd=dist_info), encoding="utf-8") as record:
            rows = list(csv.reader(record))
    except FileNotFoundError:
        return "no RECORD"
    for path, _, size in rows:
        try:
            found = os.stat(folder / path).st_size  # noqa: PTH116 - as fast as it can
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is missing"
        if size and found != int(size):
            return f"{path} has {found} bytes in place of {size}"
    return "" if rows else "RECORD is empty"


def _is_in_place(path: Path, held: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(held))  # noqa: PTH116 - compared with a descriptor's
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
