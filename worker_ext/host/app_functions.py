"""The app's functions as the engine looks them up, made anew only when the gateway names others."""

from __future__ import annotations

from typing import Any

from worker_ext.host.gateway import WorkerGateway
from worker_ext.host.turns import KnownFunctions


class AppFunctions:
    """What can be called; it changes when the app is loaded again."""

    def __init__(self, gateway: WorkerGateway) -> None:
        self._gateway = gateway
        self._found: tuple[Any, KnownFunctions] | None = None

    @property
    def known(self) -> KnownFunctions:
        """The functions at the moment."""
        names_of = self._gateway.function_names
        names = names_of("orchestration"), names_of("activity"), names_of("entity")
        if self._found is None or self._found[0] != names:
            self._found = (names, KnownFunctions(*names))
        return self._found[1]
