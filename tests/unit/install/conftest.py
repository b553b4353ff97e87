"""Fixtures of the tests of installs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.children import public_folder, skip_unless_other_user


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Return a folder that every user can reach."""
    skip_unless_other_user()
    with public_folder() as folder:
        yield folder
