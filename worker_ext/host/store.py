"""What the host remembers, in tables: instances, histories, messages, timers, activities.

The store knows no rule of the engine. Each method is one transaction, and everything a turn does is in one method, so
a host that is killed at any instant has either done a turn or not begun it. Whatever a caller claims (messages,
activities) stays in its table until the commit that consumes it; the commit fails if it is not there any more.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import sqlite3
import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worker_ext.errors import HostError
from worker_ext.host.database import Database, Synchronous
from worker_ext.host.entity_messages import is_entity
from worker_ext.host.entity_queries import EntityQueries
from worker_ext.host.queries import InstanceQueries
from worker_ext.host.records import (
    OVER,
    Activity,
    Claim,
    Instance,
    NewInstance,
    NewMessage,
    NewTimer,
    RewindRecord,
    StoredMessage,
    TurnRecord,
    TurnResult,
    status_name,
)
from worker_ext.host.timer_statuses import TimerStatuses
from worker_ext.protocol.history import OrchestrationStatus

__all__ = ["BATCH_LIMIT", "Instance", "InstanceExistsError", "StaleTurnError", "Store"]

BATCH_LIMIT = 1000
"""How many messages one claim takes at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HIGHEST_ID = (1 << 63) - 1
_MICROSECOND = timedelta(microseconds=1)


class InstanceExistsError(HostError):
    """An instance of that id exists in a state that a new start must not replace.

    Attributes:
        instance_id: The instance.
        status: Its status, as the management API names it.
    """

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(f"An orchestration with id '{instance_id}' already exists. It is in state {status}")
        self.instance_id = instance_id
        self.status = status


class StaleTurnError(HostError):
    """A turn was worked out on a state that is not the stored one any more; nothing of it was written."""


class Store:
    """The tables of one task hub.

    Args:
        path: The database file, or `:memory:`.
        hub: The task hub; several may share a file.
        synchronous: SQLite's setting of that name.

    Attributes:
        hub: The task hub.

    Raises:
        DatabaseError: The file cannot be used; the message says why and what to do.
    """

    def __init__(self, path: str | Path, hub: str, synchronous: Synchronous = "NORMAL") -> None:
        self._database = Database(path, synchronous)
        try:
            self._hub_key, highest = self._database.run_now(lambda connection: _open_hub(connection, hub))
        except HostError:
            self._database.close()
            raise
        self.hub = hub
        # Ids grow with the time of arrival, also across restarts.
        self._ids = itertools.count(highest + 1)

    async def find_hub(self, hub: str) -> Store | None:
        """The store of a task hub of this file, whatever the case of its name; it is closed with this one."""

        def job(connection: sqlite3.Connection) -> tuple[int, str] | None:
            row: tuple[int, str] | None = connection.execute(
                "SELECT hub_key, name FROM hubs WHERE name = ? COLLATE NOCASE ORDER BY name = ? DESC, name = ? DESC",
                (hub, hub, self.hub),
            ).fetchone()
            return row

        found = await self._database.run(job)
        if found is None:
            return None
        other = copy.copy(self)
        other._hub_key, other.hub = found
        return other

    @property
    def path(self) -> str:
        """The database file."""
        return self._database.path

    @property
    def queries(self) -> InstanceQueries:
        """Lists and purges of many instances."""
        return InstanceQueries(self._database, self._hub_key)

    @property
    def timer_statuses(self) -> TimerStatuses:
        """What is remembered of timer triggers."""
        return TimerStatuses(self._database, self._hub_key)

    @property
    def entities(self) -> EntityQueries:
        """Reads of entities."""
        return EntityQueries(self._database, self._hub_key)

    def close(self) -> None:
        """Closes the file. What is still being written is finished first."""
        self._database.close()

    def _take_id(self) -> int:
        """The next id of a message, timer or activity; those of all hubs of a file are different."""
        return next(self._ids)

    # ------------------------------------------------------------ clients

    async def create(self, new: NewInstance, replaceable: Collection[OrchestrationStatus], at: datetime) -> None:
        """Makes an instance; one of the same id goes if its state is among `replaceable`.

        Raises:
            InstanceExistsError: There is one in another state.
        """

        def job(connection: sqlite3.Connection) -> None:
            found = self._find(connection, new.instance_id)
            if found is not None:
                if found[1] not in replaceable:
                    raise InstanceExistsError(new.instance_id, status_name(found[1]))
                connection.execute("DELETE FROM instances WHERE instance_key = ?", (found[0],))
            self._insert_instance(connection, new, at)

        await self._database.run(job)

    async def post(self, message: NewMessage) -> bool:
        """Leaves a message for an instance; whether it exists and is not over."""
        at = datetime.now(UTC)
        return message.instance_id in await self._database.run(lambda connection: self._post(connection, message, at))

    async def rewind(self, records: Sequence[RewindRecord]) -> None:
        """Lets failed instances go on from an earlier point, all of them or none.

        Raises:
            StaleTurnError: One of them is not that failed execution any more.
        """

        def job(connection: sqlite3.Connection) -> None:
            for record in records:
                self._rewind(connection, record)

        await self._database.run(job)

    async def get(self, instance_id: str) -> Instance | None:
        """One instance."""

        def job(connection: sqlite3.Connection) -> Instance | None:
            row = connection.execute(
                "SELECT instance_id, execution_id, name, version, status, input, output, custom_status, parent_id,"
                " created_at, updated_at FROM instances JOIN payloads USING (instance_key)"
                " WHERE hub_key = ? AND instance_id = ?",
                (self._hub_key, instance_id),
            ).fetchone()
            return None if row is None else _instance(row)

        return await self._database.run(job)

    async def history(self, instance_id: str) -> list[str]:
        """The batches of an instance's current execution, oldest first."""

        def job(connection: sqlite3.Connection) -> list[str]:
            found = self._find(connection, instance_id)
            return [] if found is None else _batches(connection, found[0])

        return await self._database.run(job)

    async def starts(self, instance_id: str) -> dict[int, datetime]:
        """When the activities of an instance that are done began to run, by the ids of their tasks."""

        def job(connection: sqlite3.Connection) -> dict[int, datetime]:
            rows = connection.execute(
                "SELECT task_id, started_at FROM starts JOIN instances USING (instance_key)"
                " WHERE hub_key = ? AND instance_id = ?",
                (self._hub_key, instance_id),
            )
            return {row[0]: _time(row[1]) for row in rows}

        return await self._database.run(job)

    # ------------------------------------------------------------ the scheduler

    async def waiting_instances(self) -> list[str]:
        """Every instance that has a message, in the order the oldest ones arrived."""

        def job(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT instance_id FROM messages JOIN instances USING (instance_key)"
                " WHERE hub_key = ? GROUP BY instance_key ORDER BY MIN(message_id)",
                (self._hub_key,),
            )
            return [row[0] for row in rows]

        return await self._database.run(job)

    async def next_due(self) -> datetime | None:
        """When the next timer is due."""

        def job(connection: sqlite3.Connection) -> datetime | None:
            row = connection.execute("SELECT MIN(due_at) FROM timers WHERE hub_key = ?", (self._hub_key,)).fetchone()
            return None if row[0] is None else _time(row[0])

        return await self._database.run(job)

    async def deliver_due(self, now: datetime) -> tuple[list[str], datetime | None]:
        """Turns timers that are due into messages; the instances that have got some, and when the next one is due."""

        def job(connection: sqlite3.Connection) -> tuple[list[str], datetime | None]:
            due = connection.execute(
                "SELECT timer_id, timers.instance_key, timers.execution_id, event, instance_id FROM timers"
                " JOIN instances USING (instance_key)"
                " WHERE timers.hub_key = ? AND due_at <= ? ORDER BY due_at, timer_id LIMIT ?",
                (self._hub_key, _stamp(now), BATCH_LIMIT),
            ).fetchall()
            connection.executemany("DELETE FROM timers WHERE timer_id = ?", [(row[0],) for row in due])
            connection.executemany(
                "INSERT INTO messages (message_id, instance_key, execution_id, event) VALUES (?, ?, ?, ?)",
                [(self._take_id(), *row[1:4]) for row in due],
            )
            row = connection.execute("SELECT MIN(due_at) FROM timers WHERE hub_key = ?", (self._hub_key,)).fetchone()
            return list(dict.fromkeys(row[4] for row in due)), None if row[0] is None else _time(row[0])

        return await self._database.run(job)

    async def pending_activities(self, after: int, limit: int) -> list[Activity]:
        """The oldest activities whose id is higher than `after`."""

        def job(connection: sqlite3.Connection) -> list[Activity]:
            rows = connection.execute(
                "SELECT activity_id, instance_id, task_id, activities.name, activities.input, trace_parent"
                " FROM activities JOIN instances USING (instance_key)"
                " WHERE activities.hub_key = ? AND activity_id > ? ORDER BY activity_id LIMIT ?",
                (self._hub_key, after, limit),
            )
            return [Activity(*row) for row in rows]

        return await self._database.run(job)

    def claim(self, wanted: Sequence[tuple[str, int | None]]) -> asyncio.Future[list[Claim | None]]:
        """What waits for instances, each named with its key where its history is known already.

        An instance that is gone gives None. Nothing is changed: what is claimed stays until a turn consumes it. What
        was asked of the store before this call is in it.
        """

        def job(connection: sqlite3.Connection) -> list[Claim | None]:
            return [self._claim(connection, instance_id, known_key) for instance_id, known_key in wanted]

        return self._database.submit(job)

    async def commit(self, turn: TurnRecord) -> TurnResult:
        """Writes a turn.

        Raises:
            StaleTurnError: Its messages, or its execution, are not there any more.
        """
        return await self._database.run(lambda connection: self._commit(connection, turn))

    def complete_activity(self, activity_id: int, event: str, started: datetime) -> asyncio.Future[str | None]:
        """Replaces an activity by its result; the instance that has it now, None if nobody waits for it."""

        def job(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT instance_key, activities.execution_id, instance_id, instances.execution_id, status, task_id"
                " FROM activities JOIN instances USING (instance_key) WHERE activity_id = ?",
                (activity_id,),
            ).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM activities WHERE activity_id = ?", (activity_id,))
            instance_key, execution_id, instance_id, running_id, status, task_id = row
            if execution_id != running_id or status in OVER:
                return None
            self._insert_message(connection, instance_key, execution_id, event)
            connection.execute(
                "INSERT OR REPLACE INTO starts (instance_key, task_id, started_at) VALUES (?, ?, ?)",
                (instance_key, task_id, _stamp(started)),
            )
            return str(instance_id)

        return self._database.submit(job)

    async def drop_unwanted_activities(self, activity_id: int | None = None) -> list[int]:
        """Deletes the activities, or the one, that nobody waits for: their execution is over or was replaced.

        Returns the ids that were deleted; the one that was asked for also where it was not there any more.
        """

        def job(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute(
                "SELECT activity_id, activities.execution_id = instances.execution_id, status FROM activities"
                " JOIN instances USING (instance_key)"
                " WHERE activities.hub_key = ? AND activity_id BETWEEN ? AND ?",
                (self._hub_key, activity_id or 0, _HIGHEST_ID if activity_id is None else activity_id),
            ).fetchall()
            unwanted = [row[0] for row in rows if not row[1] or row[2] in OVER]
            connection.executemany("DELETE FROM activities WHERE activity_id = ?", [(item,) for item in unwanted])
            return unwanted if rows or activity_id is None else [activity_id]

        return await self._database.run(job)

    # ------------------------------------------------------------ rows

    def _find(self, connection: sqlite3.Connection, instance_id: str) -> tuple[int, int] | None:
        """The key and the status of an instance."""
        row: tuple[int, int] | None = connection.execute(
            "SELECT instance_key, status FROM instances WHERE hub_key = ? AND instance_id = ?",
            (self._hub_key, instance_id),
        ).fetchone()
        return row

    def _insert_instance(self, connection: sqlite3.Connection, new: NewInstance, at: datetime) -> None:
        stamp = _stamp(at)
        cursor = connection.execute(
            "INSERT INTO instances (hub_key, instance_id, execution_id, name, version, status, parent_id, created_at,"
            " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._hub_key,
                new.instance_id,
                new.execution_id,
                new.name,
                new.version,
                int(OrchestrationStatus.PENDING),
                new.parent_id,
                stamp,
                stamp,
            ),
        )
        key = cursor.lastrowid
        connection.execute("INSERT INTO payloads (instance_key, input) VALUES (?, ?)", (key, new.input))
        self._insert_message(connection, key, new.execution_id, new.started)

    def _insert_message(
        self, connection: sqlite3.Connection, instance_key: int | None, execution_id: str | None, event: str
    ) -> None:
        connection.execute(
            "INSERT INTO messages (message_id, instance_key, execution_id, event) VALUES (?, ?, ?, ?)",
            (self._take_id(), instance_key, execution_id, event),
        )

    def _post(self, connection: sqlite3.Connection, message: NewMessage, at: datetime) -> list[str]:
        """Leaves a message where it belongs; the instances that have got one."""
        row = connection.execute(
            "SELECT instance_key, status, execution_id FROM instances WHERE hub_key = ? AND instance_id = ?",
            (self._hub_key, message.instance_id),
        ).fetchone()
        if row is None and message.makes:
            row = (self._insert_entity(connection, message.instance_id, at), OrchestrationStatus.RUNNING, None)
        is_gone = row is None or row[1] in OVER
        if message.if_gone and (is_gone or row[2] != message.execution_id):
            return [woken for other in message.if_gone for woken in self._post(connection, other, at)]
        if is_gone:
            return []
        self._insert_message(connection, row[0], message.execution_id, message.event)
        return [message.instance_id]

    def _insert_entity(self, connection: sqlite3.Connection, instance_id: str, at: datetime) -> int | None:
        stamp = _stamp(at)
        key = connection.execute(
            "INSERT INTO instances (hub_key, instance_id, execution_id, name, status, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._hub_key,
                instance_id,
                uuid.uuid4().hex,
                instance_id,
                int(OrchestrationStatus.RUNNING),
                stamp,
                stamp,
            ),
        ).lastrowid
        connection.execute("INSERT INTO payloads (instance_key) VALUES (?)", (key,))
        return key

    def _claim(self, connection: sqlite3.Connection, instance_id: str, known_key: int | None) -> Claim | None:
        row = connection.execute(
            "SELECT instance_key, execution_id, status, name FROM instances WHERE hub_key = ? AND instance_id = ?",
            (self._hub_key, instance_id),
        ).fetchone()
        if row is None:
            return None
        key, execution_id, status, name = row
        messages = connection.execute(
            "SELECT message_id, execution_id, event FROM messages WHERE instance_key = ? ORDER BY message_id LIMIT ?",
            (key, BATCH_LIMIT),
        )
        # A row of an entity has its id for a name; extension 3.19 lets orchestrations have ids that look like it.
        has_record, entity = is_entity(instance_id) and name == instance_id, None
        if has_record:
            entity = connection.execute("SELECT input FROM payloads WHERE instance_key = ?", (key,)).fetchone()[0]
        return Claim(
            instance_key=key,
            execution_id=execution_id,
            is_over=status in OVER,
            messages=[StoredMessage(*message) for message in messages],
            batches=None if key == known_key else _batches(connection, key),
            is_entity=has_record,
            entity=entity,
        )

    def _commit(self, connection: sqlite3.Connection, turn: TurnRecord) -> TurnResult:
        self._consume(connection, turn)
        if turn.status is None:
            return TurnResult([], [])
        key, execution_id = turn.instance_key, turn.new_execution_id or turn.execution_id
        if turn.new_execution_id is not None:
            self._replace_execution(connection, turn)
        if turn.entity is not None:
            connection.execute("UPDATE payloads SET input = ? WHERE instance_key = ?", (turn.entity, key))
        else:
            connection.execute(
                "INSERT INTO history (instance_key, turn, events) VALUES (?, ?, ?)", (key, turn.turn, turn.events)
            )
        activities = [
            (self._take_id(), item.task_id, item.name, item.input, item.trace_parent) for item in turn.activities
        ]
        if activities:
            connection.executemany(
                "INSERT INTO activities"
                " (activity_id, hub_key, instance_key, execution_id, task_id, name, input, trace_parent)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(item[0], self._hub_key, key, execution_id, *item[1:]) for item in activities],
            )
        self._insert_timers(connection, key, execution_id, turn.timers)
        woken = self._send(connection, turn, execution_id)
        if turn.status in OVER:
            self._end(connection, turn)
        instance_id = self._instance_id(connection, key) if activities else ""
        return TurnResult([Activity(item[0], instance_id, *item[1:]) for item in activities], woken)

    def _consume(self, connection: sqlite3.Connection, turn: TurnRecord) -> None:
        """Takes the delivered messages and moves the row on, if both are still what the turn was worked out on."""
        if len(turn.consumed) == 1:
            deleted = connection.execute("DELETE FROM messages WHERE message_id = ?", turn.consumed).rowcount
        else:
            deleted = connection.executemany(
                "DELETE FROM messages WHERE message_id = ?", [(item,) for item in turn.consumed]
            ).rowcount
        updated = 1
        if turn.status is not None:
            updated = connection.execute(
                "UPDATE instances SET status = ?, custom_status = ?, updated_at = ?"
                " WHERE instance_key = ? AND execution_id = ?",
                (int(turn.status), turn.custom_status, _stamp(turn.at), turn.instance_key, turn.execution_id),
            ).rowcount
        if deleted != len(turn.consumed) or updated != 1:
            raise StaleTurnError(f"instance {turn.instance_key} has changed while a turn of it was being worked out")

    def _replace_execution(self, connection: sqlite3.Connection, turn: TurnRecord) -> None:
        key = turn.instance_key
        connection.execute("DELETE FROM history WHERE instance_key = ?", (key,))
        connection.execute("DELETE FROM starts WHERE instance_key = ?", (key,))
        connection.execute("UPDATE instances SET execution_id = ? WHERE instance_key = ?", (turn.new_execution_id, key))
        connection.execute("UPDATE payloads SET input = ? WHERE instance_key = ?", (turn.new_input, key))
        # What the old execution had started answers to nobody.
        connection.execute("DELETE FROM timers WHERE instance_key = ? AND execution_id = ?", (key, turn.execution_id))
        connection.execute("DELETE FROM messages WHERE instance_key = ? AND execution_id = ?", (key, turn.execution_id))

    def _rewind(self, connection: sqlite3.Connection, record: RewindRecord) -> None:
        row = connection.execute(
            "UPDATE instances SET execution_id = ?, status = ?, updated_at = ?"
            " WHERE hub_key = ? AND instance_id = ? AND execution_id = ? AND status = ? RETURNING instance_key",
            (
                record.new_execution_id,
                int(OrchestrationStatus.RUNNING),
                _stamp(record.at),
                self._hub_key,
                record.instance_id,
                record.execution_id,
                int(OrchestrationStatus.FAILED),
            ),
        ).fetchone()
        if row is None:
            raise StaleTurnError(f"instance {record.instance_id} has changed while it was to be rewound")
        key = row[0]
        connection.execute("UPDATE payloads SET output = NULL WHERE instance_key = ?", (key,))
        connection.execute("DELETE FROM history WHERE instance_key = ?", (key,))
        connection.execute("INSERT INTO history (instance_key, turn, events) VALUES (?, 0, ?)", (key, record.events))
        self._insert_message(connection, key, record.new_execution_id, record.message)
        self._insert_timers(connection, key, record.new_execution_id, record.timers)

    def _insert_timers(
        self, connection: sqlite3.Connection, key: int, execution_id: str | None, timers: Sequence[NewTimer]
    ) -> None:
        if timers:
            connection.executemany(
                "INSERT INTO timers (timer_id, hub_key, instance_key, execution_id, due_at, event)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (self._take_id(), self._hub_key, key, execution_id, _stamp(timer.due), timer.event)
                    for timer in timers
                ],
            )

    def _send(self, connection: sqlite3.Connection, turn: TurnRecord, execution_id: str) -> list[str]:
        woken = []
        for child, if_taken in turn.children:
            found = self._find(connection, child.instance_id)
            if found is not None and found[1] not in OVER:
                self._insert_message(connection, turn.instance_key, execution_id, if_taken)
                woken.append(self._instance_id(connection, turn.instance_key))
                continue
            if found is not None:
                connection.execute("DELETE FROM instances WHERE instance_key = ?", (found[0],))
            self._insert_instance(connection, child, turn.at)
            woken.append(child.instance_id)
        for message in turn.messages:
            woken += self._post(connection, message, turn.at)
        return woken

    def _end(self, connection: sqlite3.Connection, turn: TurnRecord) -> None:
        key = turn.instance_key
        connection.execute("UPDATE payloads SET output = ? WHERE instance_key = ?", (turn.output, key))
        connection.execute("DELETE FROM messages WHERE instance_key = ?", (key,))
        connection.execute("DELETE FROM timers WHERE instance_key = ?", (key,))

    def _instance_id(self, connection: sqlite3.Connection, key: int) -> str:
        row = connection.execute("SELECT instance_id FROM instances WHERE instance_key = ?", (key,)).fetchone()
        return str(row[0])


def _open_hub(connection: sqlite3.Connection, hub: str) -> tuple[int, int]:
    """The hub's key, and the highest id given so far."""
    connection.execute("INSERT OR IGNORE INTO hubs (name) VALUES (?)", (hub,))
    key = connection.execute("SELECT hub_key FROM hubs WHERE name = ?", (hub,)).fetchone()[0]
    highest = connection.execute(
        "SELECT MAX(IFNULL((SELECT MAX(message_id) FROM messages), 0), IFNULL((SELECT MAX(timer_id) FROM timers), 0),"
        " IFNULL((SELECT MAX(activity_id) FROM activities), 0))"
    ).fetchone()[0]
    return int(key), int(highest)


def _batches(connection: sqlite3.Connection, key: int) -> list[str]:
    rows = connection.execute("SELECT events FROM history WHERE instance_key = ? ORDER BY turn", (key,))
    return [row[0] for row in rows]


def _stamp(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(stamp: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stamp)


def _instance(row: tuple[Any, ...]) -> Instance:
    (instance_id, execution_id, name, version, status, input_text, output, custom_status, parent_id, *times) = row
    return Instance(
        instance_id=instance_id,
        execution_id=execution_id,
        name=name,
        version=version,
        status=status_name(status),
        input=input_text,
        output=output,
        custom_status=custom_status,
        parent_id=parent_id,
        created=_time(times[0]),
        updated=_time(times[1]),
    )
