"""Rewinds failed instances, each with its failed children, in one transaction."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from msgspec import Struct

from worker_ext.host.records import Instance, NewTimer, RewindRecord
from worker_ext.host.rendering import parse_events, render
from worker_ext.host.rewind import RewindPlan, open_timers, plan_rewind, rewound_history
from worker_ext.host.store import StaleTurnError, Store
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import ExecutionRewound, OrchestrationInstance, ParentInstance

_FAILED = "Failed"


class _Member(Struct):
    """An instance that is rewound, and who waits for it."""

    instance: Instance
    parent: ParentInstance | None


class Rewinder:
    """Rewinds instances of one task hub.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def rewind(self, instance_id: str, reason: str | None) -> list[RewindRecord]:
        """Rewinds an instance and its failed children; what goes on. Nothing, if it has not failed."""
        while True:
            found = await self._store.get(instance_id)
            if found is None or found.status != _FAILED:
                return []
            records = await self._records(_Member(found, None), reason)
            try:
                await self._store.rewind(records)
            except StaleTurnError:
                continue  # somebody was faster: it is looked at again
            return records

    async def _records(self, root: _Member, reason: str | None) -> list[RewindRecord]:
        records, waiting, now = [], [root], datetime.now(UTC)
        while waiting:
            member = waiting.pop()
            instance = member.instance
            history = parse_events(await self._store.history(instance.instance_id))
            plan, execution_id = plan_rewind(history), uuid.uuid4().hex
            children = await self._failed_children(instance.instance_id, plan)
            events = rewound_history(
                history, plan, execution_id=execution_id, rewound=children.keys(), parent=member.parent
            )
            records.append(
                RewindRecord(
                    instance_id=instance.instance_id,
                    execution_id=instance.execution_id,
                    new_execution_id=execution_id,
                    events=",".join(map(render, events)),
                    message=render(ExecutionRewound(reason=reason, timestamp=format_timestamp(now))),
                    at=now,
                    timers=[NewTimer(now + timer.left, render(timer.event)) for timer in open_timers(history, plan)],
                )
            )
            waiting += (_Member(child, _parent(instance, execution_id, task_id)) for task_id, child in children.items())
        return records

    async def _failed_children(self, parent_id: str, plan: RewindPlan) -> dict[int, Instance]:
        """The children of a plan that can be rewound, by the ids of their tasks."""
        found = {}
        for task_id, instance_id in plan.children.items():
            child = await self._store.get(instance_id)
            if child is not None and child.status == _FAILED and child.parent_id == parent_id:
                found[task_id] = child
        return found


def _parent(instance: Instance, execution_id: str, task_id: int) -> ParentInstance:
    return ParentInstance(
        name=instance.name,
        orchestration_instance=OrchestrationInstance(instance.instance_id, execution_id),
        task_schedule_id=task_id,
        version=instance.version,
    )
