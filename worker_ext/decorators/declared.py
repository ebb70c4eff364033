"""What the app declares, and a warning where an orchestrator calls something else.

The host drops a call of a name that it does not know: the call takes no id, nothing is written to the history, and the
instance waits for ever. What an app declares with azure-functions' own classes alone is not known here, so that the
most there can be is a warning, once for each name.

Source: durable-functions JSON protocol, section 2.3.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallEntity,
    CallSubOrchestrator,
    ScheduledSignalEntity,
    SignalEntity,
)

if TYPE_CHECKING:
    from worker_ext.decorators.durable_app import Blueprint
    from worker_ext.engine.tasks import Leaf

_log = logging.getLogger("worker_ext")

_ALIASES = {"activityTrigger": "activity", "orchestrationTrigger": "orchestration", "entityTrigger": "entity_name"}
_KINDS = {"activityTrigger": "activity", "orchestrationTrigger": "orchestrator", "entityTrigger": "entity"}

Name = tuple[str, str]
"""The type of a trigger, and a name in lower case, as the host compares names."""


class Declarations:
    """The functions of all apps and blueprints in this process."""

    def __init__(self) -> None:
        self._apps: WeakSet[Blueprint] = WeakSet()
        self._names: set[Name] = set()
        self._warned: set[tuple[str, Name]] = set()
        self._seen: set[tuple[str, type[AnyAction], str]] = set()
        self._builders = 0

    def add(self, app: Blueprint) -> None:
        """Takes note of an app or a blueprint; what it declares is read when it is first needed."""
        self._apps.add(app)

    def check(self, orchestrator: str, leaves: list[Leaf]) -> None:
        """Warns of what an orchestrator has called, and nobody has declared.

        Args:
            orchestrator: The function's name.
            leaves: What it has scheduled, in order; looked through from the end to the first that has an answer.
        """
        for leaf in reversed(leaves):
            if leaf.settled:
                return
            seen = orchestrator, type(leaf.action), leaf.name
            if leaf.name and seen in self._seen:
                continue
            self._seen.add(seen)
            name = _name_of(leaf.action)
            if name is not None and (orchestrator, name) not in self._warned and not self._knows(name):
                self._warned.add((orchestrator, name))
                _log.warning(
                    "orchestrator %r calls %s %r, which this app does not declare: unless it is declared elsewhere the "
                    "host drops the call without a word, and the instance waits for ever",
                    orchestrator,
                    _KINDS[name[0]],
                    leaf.name or name[1],
                )

    def _knows(self, name: Name) -> bool:
        if name not in self._names:
            self._read()
        return name in self._names

    def _read(self) -> None:
        builders = [builder for app in self._apps for builder in app._function_builders]
        if len(builders) != self._builders:
            self._builders = len(builders)
            self._names = set(_declared(builders))


def _declared(builders: Iterable[Any]) -> Iterator[Name]:
    for builder in builders:
        function = builder._function
        trigger = function.get_trigger()
        if trigger is not None and trigger.type in _ALIASES:
            alias = getattr(trigger, _ALIASES[trigger.type], None)
            yield trigger.type, str(alias or function.get_function_name()).lower()


def _name_of(action: AnyAction) -> Name | None:
    match action:
        case CallActivity():
            return "activityTrigger", action.function_name.lower()
        case CallSubOrchestrator():
            return "orchestrationTrigger", action.function_name.lower()
        case CallEntity() | SignalEntity() | ScheduledSignalEntity():
            return "entityTrigger", action.instance_id.split("@", 2)[1]
        case _:
            return None


DECLARATIONS = Declarations()
"""Those of this process."""
