"""What the host remembers, in tables: instances, histories, messages, timers, activities.

The store knows no rule of the engine. Each method is one transaction, and everything a turn does is in one method, so
a host that is killed at any instant has either done a turn or not begun it. Whatever a caller claims (messages,
activities) stays in its table until the commit that consumes it; the commit fails if it is not there any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from worker_ext.errors import HostError
from worker_ext.host.database import Database, Synchronous
from worker_ext.protocol.history import OrchestrationStatus

OVER = frozenset(
    {
        OrchestrationStatus.COMPLETED,
        OrchestrationStatus.FAILED,
        OrchestrationStatus.CANCELED,
        OrchestrationStatus.TERMINATED,
    }
)
"""States that an instance does not leave by itself."""

BATCH_LIMIT = 1000
"""How many messages one claim takes at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


class Instance(Struct, frozen=True, kw_only=True):
    """One instance as the status shows it.

    Attributes:
        status: The name of its state, as the management API has it.
        input: Its input as JSON text.
        output: JSON text when completed, bare text when failed or terminated.
        custom_status: JSON text.
    """

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    parent_id: str | None
    created: datetime
    updated: datetime

    @property
    def is_over(self) -> bool:
        """Whether it is completed, failed or terminated."""
        return self.status in _OVER_NAMES


class NewInstance(Struct, frozen=True, kw_only=True):
    """An instance to make: `started` is the text of its ExecutionStarted."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    input: str | None
    parent_id: str | None = None
    started: str


class NewMessage(Struct, frozen=True, gc=False):
    """The text of an event for an instance, and the execution that it is meant for."""

    instance_id: str
    event: str
    execution_id: str | None = None


class NewTimer(Struct, frozen=True, gc=False):
    """The text of an event for the instance itself, and when it is due."""

    due: datetime
    event: str


class NewActivity(Struct, frozen=True, gc=False):
    """An activity that a turn schedules."""

    task_id: int
    name: str
    input: str | None


class Activity(Struct, frozen=True, gc=False):
    """An activity that is to be run."""

    activity_id: int
    instance_id: str
    task_id: int
    name: str
    input: str | None


class StoredMessage(Struct, frozen=True, gc=False):
    """A message that waits."""

    message_id: int
    execution_id: str | None
    event: str


class Claim(Struct, frozen=True):
    """What waits for an instance, and its history where it was asked for."""

    instance_key: int
    execution_id: str
    is_over: bool
    messages: list[StoredMessage]
    batches: list[str] | None


class TurnRecord(Struct, kw_only=True):
    """Everything one turn writes.

    Attributes:
        instance_key: The instance.
        execution_id: The execution that the turn was worked out for.
        consumed: The messages it delivered.
        turn: The number of its batch in the history.
        events: The batch's text; None where nothing was delivered.
        new_execution_id: The execution that has replaced it (continue-as-new), or None; then `new_input` is its input.
        status: The status after it; None leaves the row as it is.
    """

    instance_key: int
    execution_id: str
    consumed: list[int]
    turn: int = 0
    events: str | None = None
    new_execution_id: str | None = None
    new_input: str | None = None
    status: OrchestrationStatus | None = None
    output: str | None = None
    custom_status: str | None = None
    at: datetime
    activities: Sequence[NewActivity] = ()
    timers: Sequence[NewTimer] = ()
    children: Sequence[tuple[NewInstance, str]] = ()
    messages: Sequence[NewMessage] = ()


class TurnResult(Struct, frozen=True):
    """What a turn has set in motion: the activities as stored, and the instances that have something to do."""

    activities: list[Activity]
    woken: list[str]


class Store:
    """The tables of one task hub.

    Args:
        path: The database file, or `:memory:`.
        hub: The task hub; several may share a file.
        synchronous: SQLite's setting of that name.

    Raises:
        DatabaseError: The file cannot be used; the message says why and what to do.
    """

    def __init__(self, path: str | Path, hub: str, synchronous: Synchronous = "NORMAL") -> None:
        self._database = Database(path, synchronous)
        self._hub_key, self._next_id = self._database.run_now(lambda connection: _open_hub(connection, hub))

    @property
    def path(self) -> str:
        """The database file."""
        return self._database.path

    def close(self) -> None:
        """Closes the file. What is still being written is finished first."""
        self._database.close()

    def _take_id(self) -> int:
        """The next id of a message, timer or activity: ids grow with the time of arrival, also across restarts."""
        self._next_id += 1
        return self._next_id

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
                    raise InstanceExistsError(new.instance_id, _status_name(found[1]))
                connection.execute("DELETE FROM instances WHERE instance_key = ?", (found[0],))
            self._insert_instance(connection, new, at)

        await self._database.run(job)

    async def post(self, message: NewMessage) -> bool:
        """Leaves a message for an instance; whether it exists and is not over."""
        return await self._database.run(lambda connection: self._post(connection, message))

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
                "SELECT activity_id, instance_id, task_id, activities.name, activities.input FROM activities"
                " JOIN instances USING (instance_key)"
                " WHERE activities.hub_key = ? AND activity_id > ? ORDER BY activity_id LIMIT ?",
                (self._hub_key, after, limit),
            )
            return [Activity(*row) for row in rows]

        return await self._database.run(job)

    async def claim(self, wanted: Iterable[tuple[str, int | None]]) -> list[Claim | None]:
        """What waits for instances, each named with its key where its history is known already.

        An instance that is gone gives None. Nothing is changed: what is claimed stays until a turn consumes it.
        """

        def job(connection: sqlite3.Connection) -> list[Claim | None]:
            return [self._claim(connection, instance_id, known_key) for instance_id, known_key in wanted]

        return await self._database.run(job)

    async def commit(self, turn: TurnRecord) -> TurnResult:
        """Writes a turn.

        Raises:
            StaleTurnError: Its messages, or its execution, are not there any more.
        """
        return await self._database.run(lambda connection: self._commit(connection, turn))

    async def complete_activity(self, activity_id: int, event: str) -> str | None:
        """Replaces an activity by its result; the instance that has it now, None if nobody waits for it."""

        def job(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT instance_key, activities.execution_id, instance_id, instances.execution_id, status"
                " FROM activities JOIN instances USING (instance_key) WHERE activity_id = ?",
                (activity_id,),
            ).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM activities WHERE activity_id = ?", (activity_id,))
            instance_key, execution_id, instance_id, running_id, status = row
            if execution_id != running_id or status in OVER:
                return None
            self._insert_message(connection, instance_key, execution_id, event)
            return str(instance_id)

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

    def _post(self, connection: sqlite3.Connection, message: NewMessage) -> bool:
        found = self._find(connection, message.instance_id)
        if found is None or found[1] in OVER:
            return False
        self._insert_message(connection, found[0], message.execution_id, message.event)
        return True

    def _claim(self, connection: sqlite3.Connection, instance_id: str, known_key: int | None) -> Claim | None:
        row = connection.execute(
            "SELECT instance_key, execution_id, status FROM instances WHERE hub_key = ? AND instance_id = ?",
            (self._hub_key, instance_id),
        ).fetchone()
        if row is None:
            return None
        key, execution_id, status = row
        messages = connection.execute(
            "SELECT message_id, execution_id, event FROM messages WHERE instance_key = ? ORDER BY message_id LIMIT ?",
            (key, BATCH_LIMIT),
        )
        return Claim(
            instance_key=key,
            execution_id=execution_id,
            is_over=status in OVER,
            messages=[StoredMessage(*message) for message in messages],
            batches=None if key == known_key else _batches(connection, key),
        )

    def _commit(self, connection: sqlite3.Connection, turn: TurnRecord) -> TurnResult:
        self._consume(connection, turn)
        if turn.status is None:
            return TurnResult([], [])
        key, execution_id = turn.instance_key, turn.new_execution_id or turn.execution_id
        if turn.new_execution_id is not None:
            self._replace_execution(connection, turn)
        connection.execute(
            "INSERT INTO history (instance_key, turn, events) VALUES (?, ?, ?)", (key, turn.turn, turn.events)
        )
        activities = [(self._take_id(), item.task_id, item.name, item.input) for item in turn.activities]
        if activities:
            connection.executemany(
                "INSERT INTO activities (activity_id, hub_key, instance_key, execution_id, task_id, name, input)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(item[0], self._hub_key, key, execution_id, *item[1:]) for item in activities],
            )
        if turn.timers:
            connection.executemany(
                "INSERT INTO timers (timer_id, hub_key, instance_key, execution_id, due_at, event)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (self._take_id(), self._hub_key, key, execution_id, _stamp(timer.due), timer.event)
                    for timer in turn.timers
                ],
            )
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
        connection.execute("UPDATE instances SET execution_id = ? WHERE instance_key = ?", (turn.new_execution_id, key))
        connection.execute("UPDATE payloads SET input = ? WHERE instance_key = ?", (turn.new_input, key))
        # What the old execution had started answers to nobody.
        connection.execute("DELETE FROM timers WHERE instance_key = ? AND execution_id = ?", (key, turn.execution_id))
        connection.execute("DELETE FROM messages WHERE instance_key = ? AND execution_id = ?", (key, turn.execution_id))

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
        woken += [message.instance_id for message in turn.messages if self._post(connection, message)]
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


_NAMES = {
    OrchestrationStatus.RUNNING: "Running",
    OrchestrationStatus.COMPLETED: "Completed",
    OrchestrationStatus.CONTINUED_AS_NEW: "ContinuedAsNew",
    OrchestrationStatus.FAILED: "Failed",
    OrchestrationStatus.CANCELED: "Canceled",
    OrchestrationStatus.TERMINATED: "Terminated",
    OrchestrationStatus.PENDING: "Pending",
    OrchestrationStatus.SUSPENDED: "Suspended",
}
_OVER_NAMES = frozenset(_NAMES[status] for status in OVER)


def _status_name(status: int) -> str:
    return _NAMES[OrchestrationStatus(status)]


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
        status=_status_name(status),
        input=input_text,
        output=output,
        custom_status=custom_status,
        parent_id=parent_id,
        created=_time(times[0]),
        updated=_time(times[1]),
    )
