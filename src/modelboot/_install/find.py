"""Finding a pinned model: the first target that has it intact."""

from __future__ import annotations

from collections.abc import Iterable

from modelboot._install import stage
from modelboot._install.inspection import inspect
from modelboot._install.installed import Installed
from modelboot._install.target import Target
from modelboot._pin import ModelPin


def find(pin: ModelPin, targets: Iterable[Target], replacing: Installed | None) -> Installed | None:
    """Find a model, and remove what killed installs have left where it is and in the targets before.

    Args:
        pin: The model.
        targets: Where it may lie, the likeliest first.
        replacing: A model that looks intact but has modified files: then every file is hashed before one counts.

    Returns:
        The model from the first target that has it intact; None when none does.

    Raises:
        OSError: A target cannot be judged.
    """
    searched: list[Target] = []
    for target in targets:
        searched.append(target)
        installed = inspect(target, pin).installed
        if installed is not None and not (replacing and installed.modified_files()):
            for each in searched:  # an install that ended in the store may have begun in another target
                stage.remove_stale(each.work, pin.name)
            return installed
    return None
