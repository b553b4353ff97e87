"""Worker plugin for Dask: the client gets the verified wheel once, and the cluster brings it to its workers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import WorkerPlugin

from modelboot._catalog import resolve
from modelboot._install.ensure import ensure_model
from modelboot._install.fill_wheelhouse import fill_wheelhouse
from modelboot._install.report import InstalledModel
from modelboot._pin import ModelPin
from modelboot._settings import read_settings
from modelboot._sources.source import log_hash_mismatches
from modelboot.errors import DownloadError, OfflineError

if TYPE_CHECKING:
    from distributed import Client, Worker

__all__ = ["InstallModels"]


class InstallModels(WorkerPlugin):
    """Installs pipelines on every worker, also on those that join or restart later.

    Workers need no network and no shared disk: the wheels travel with the plugin, and each worker checks their SHA-256
    before it unpacks them. Workers that share a target install once.

    Example:
        `client.register_plugin(InstallModels("fr_core_news_sm"))`

    Attributes:
        name: What Dask knows the plugin by; registering the same models again replaces it.
        pins: The models.
        installed: On a worker: where the models are, and how they got there.
    """

    def __init__(self, *models: str | ModelPin) -> None:
        """Get the verified wheels, from the sources that the settings of this process name.

        Args:
            models: Each a catalog name, a name with a version, a direct reference (`name @ URL#sha256=HEX`), or a
                `ModelPin`.

        Raises:
            DownloadError: No source has a wheel. HashMismatchError, OfflineError: as for `ensure_model`.
            UnknownModelError: The catalog has no such model.
        """
        pins = read_settings().pins
        self.pins = tuple(resolve(model, pins=pins) for model in models)
        self.name = f"modelboot: {', '.join(map(str, self.pins))}"
        self.installed: tuple[InstalledModel, ...] = ()
        self._wheels = tuple(_wheel(pin) for pin in self.pins)

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's interface
        """Install the models on this worker while it goes on answering, and free the memory of their wheels.

        Raises:
            ModelbootError: A model could not be installed: `register_plugin` raises it on the client.
        """
        work = zip(self.pins, self._wheels, strict=True)
        self.installed = tuple([await asyncio.to_thread(_install, pin, wheel) for pin, wheel in work])
        self._wheels = ()

    def report(self, client: Client) -> dict[str, tuple[InstalledModel, ...]]:
        """Ask every worker what it has.

        Args:
            client: The client that the plugin was registered with.

        Returns:
            For each worker's address: where the models are, and how they got there: "wheelhouse" where this worker
            installed the wheel that was shipped, "present" where the model was there already.
        """
        return dict(client.run(_installed, self.name))


def _wheel(pin: ModelPin) -> bytes:
    with tempfile.TemporaryDirectory(prefix="modelboot-") as folder:
        return fill_wheelhouse(pin, Path(folder), read_settings()).path.read_bytes()


def _install(pin: ModelPin, wheel: bytes) -> InstalledModel:
    """Install a wheel that was shipped, unless the model is there."""
    try:
        return ensure_model(pin, offline=True)
    except (OfflineError, DownloadError) as error:  # it is not here, or a wheelhouse of this worker's has other bytes
        log_hash_mismatches(pin, error.attempts)
        with tempfile.TemporaryDirectory(prefix="modelboot-") as folder:
            Path(folder, pin.filename).write_bytes(wheel)
            return ensure_model(pin, wheelhouse=folder, offline=True)


def _installed(name: str, dask_worker: Worker) -> tuple[InstalledModel, ...]:
    """Read what the plugin of a worker installed; it runs there."""
    plugin = dask_worker.plugins[name]
    assert isinstance(plugin, InstallModels)  # noqa: S101 - it has this plugin's name
    return plugin.installed
