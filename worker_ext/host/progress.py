"""Where the replay of an execution stands between its turns, so that a turn costs what has come since the last one.

A replay looks at its list no further than the item it waits for. So the list of a later reply that has the same items
up to that one leads over the same events to the same place, and the replay goes on from there. Where it has other
items, or the app has changed, everything is replayed from the beginning, as it is when nothing was kept.
"""

from __future__ import annotations

from worker_ext.host.entity_calls import EntityCalls
from worker_ext.host.replay import Replay
from worker_ext.host.replies import Decision
from worker_ext.host.turns import EngineOptions, KnownFunctions


class Progress:
    """A replay that waits for more events, if there is one.

    Whoever keeps it between turns must drop it with a turn that was worked out and not committed.
    """

    __slots__ = ("_functions", "_options", "_replay", "_seen")

    def __init__(self) -> None:
        self._replay: Replay | None = None
        self._seen = 0
        self._functions: KnownFunctions | None = None
        self._options: EngineOptions | None = None

    def take(
        self, decision: Decision, instance_id: str, functions: KnownFunctions, options: EngineOptions
    ) -> tuple[Replay, int]:
        """The replay to go on with, and how many events it has had; a new one has had none."""
        replay, self._replay = self._replay, None
        is_same_app = self._functions is functions and self._options is options
        if replay is not None and is_same_app and replay.takes_up(decision):
            return replay, self._seen
        return Replay(decision, EntityCalls(instance_id, functions), options), 0

    def keep(self, replay: Replay, seen: int, functions: KnownFunctions, options: EngineOptions) -> None:
        """Keeps a replay that has had so many events, where later ones can go on with it."""
        if replay.waits:
            self._replay, self._seen = replay, seen
            self._functions, self._options = functions, options
