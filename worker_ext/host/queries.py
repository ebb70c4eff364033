"""Many instances at once: pages of those that fit a filter, and their purge.

A page is read along an index, however many instances the file holds: by time of creation, with one index range a
state where states are asked for, or by id where a prefix is. The token of the next page says where the last one
ended, so pages neither repeat nor skip an instance that stays what it is, and an instance that comes meanwhile is on a
later page.

Only instances that have ended are purged. The Azure Storage provider purges running ones as well when a filter names
no state that has ended; nobody asks for that on purpose.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from worker_ext.errors import HostError
from worker_ext.host.database import Database
from worker_ext.host.records import OVER, Instance, status_name
from worker_ext.protocol.history import OrchestrationStatus

DEFAULT_TOP = 100
MOST = 1000
"""A page has no more instances than that."""

PURGE_GROUP = 200
_VACUUM_PAGES = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = (
    "instance_id, execution_id, name, version, status, {input}, output, custom_status, parent_id, created_at,"
    " updated_at, instance_key"
)


class BadTokenError(HostError):
    """A continuation token that no page of this kind of list came with."""


class InstanceQuery(Struct, frozen=True, kw_only=True):
    """A filter over instances; what is None or empty lets everything through.

    Attributes:
        created_from: Created at this time or later.
        created_to: Created at this time or earlier.
        statuses: In one of these states.
        prefix: With an id that begins so.
    """

    created_from: datetime | None = None
    created_to: datetime | None = None
    statuses: frozenset[OrchestrationStatus] = frozenset()
    prefix: str = ""


class Page(Struct, frozen=True):
    """Some of the instances that fit, and the token of the next page; empty at the end."""

    instances: list[Instance]
    token: str


class InstanceQueries:
    """Lists and purges the instances of one task hub.

    Args:
        database: Where they are.
        hub_key: The task hub.
    """

    def __init__(self, database: Database, hub_key: int) -> None:
        self._database = database
        self._hub_key = hub_key

    async def page(
        self, query: InstanceQuery, top: int = DEFAULT_TOP, token: str = "", *, show_input: bool = True
    ) -> Page:
        """The first instances that fit, or those that follow a page.

        Args:
            query: Which ones.
            top: How many at most; `MOST` is the limit.
            token: What the page before came with.
            show_input: Whether inputs are read.

        Raises:
            BadTokenError: The token is not one of this list.
        """
        count = min(top if top > 0 else DEFAULT_TOP, MOST)
        order = "instance_id" if query.prefix else "created_at, instance_key"
        keys, values = self._keys(query, _read_token(token, str if query.prefix else int), count + 1)
        columns = _COLUMNS.format(input="input" if show_input else "NULL")
        statement = (
            f"SELECT {columns} FROM instances JOIN payloads USING (instance_key)"
            f" WHERE instance_key IN ({keys}) ORDER BY {order}"
        )
        rows = await self._database.run(lambda connection: connection.execute(statement, values).fetchall())
        last = rows[count - 1] if len(rows) > count else None
        if last is None:
            return Page([_instance(row) for row in rows], "")
        return Page(
            [_instance(row) for row in rows[:count]], _token([last[0]] if query.prefix else [last[9], last[11]])
        )

    async def purge_one(self, instance_id: str) -> str | None:
        """Deletes an instance and all it had, if it has ended.

        Returns:
            The status it had, so whether it is gone; None if there is no such instance.
        """

        def job(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT instance_key, status FROM instances WHERE hub_key = ? AND instance_id = ?",
                (self._hub_key, instance_id),
            ).fetchone()
            if row is None:
                return None
            if row[1] in OVER:
                _delete(connection, [row[0]])
            return status_name(row[1])

        return await self._database.run(job)

    async def purge_many(self, query: InstanceQuery) -> int:
        """Deletes the instances that fit and have ended, a group a transaction; how many."""
        chosen = query.statuses & OVER if query.statuses else OVER
        if not chosen:
            return 0
        keys, values = self._keys(msgspec.structs.replace(query, statuses=chosen), [], PURGE_GROUP)

        def job(connection: sqlite3.Connection) -> int:
            found = [int(row[0]) for row in connection.execute(keys, values)]
            _delete(connection, found)
            return len(found)

        total = 0
        while purged := await self._database.run(job):
            total += purged
        return total

    def _keys(self, query: InstanceQuery, after: list[Any], limit: int) -> tuple[str, list[Any]]:
        """A statement that gives the keys of the first instances that fit and come after a place in the order."""
        if query.prefix:
            return self._keys_by_id(query, after, limit)
        conditions, values = _created(query)
        if after:
            conditions.append("(created_at, instance_key) > (?, ?)")
            values += after
        order = "ORDER BY created_at, instance_key LIMIT ?"
        if not query.statuses:
            return _select(conditions, order), [self._hub_key, *values, limit]
        # A part of each range, so that the merge costs what is taken, not what there is.
        one = _select(["status = ?", *conditions], order, "instance_key, created_at")
        merged = " UNION ALL ".join([f"SELECT * FROM ({one})"] * len(query.statuses))
        parameters = [[self._hub_key, int(status), *values, limit] for status in sorted(query.statuses)]
        return f"SELECT instance_key FROM ({merged}) {order}", [*itertools.chain(*parameters), limit]

    def _keys_by_id(self, query: InstanceQuery, after: list[Any], limit: int) -> tuple[str, list[Any]]:
        conditions, values = _created(query)
        conditions.append("instance_id >= ?")
        values.append(query.prefix)
        if (end := _following(query.prefix)) is not None:
            conditions.append("instance_id < ?")
            values.append(end)
        if after:
            conditions.append("instance_id > ?")
            values += after
        if query.statuses:
            # The plus keeps SQLite from walking the index of states here.
            conditions.append(f"+status IN ({', '.join(str(int(status)) for status in sorted(query.statuses))})")
        return _select(conditions, "ORDER BY instance_id LIMIT ?"), [self._hub_key, *values, limit]


def _select(conditions: Iterable[str], order: str, columns: str = "instance_key") -> str:
    return f"SELECT {columns} FROM instances WHERE {' AND '.join(['hub_key = ?', *conditions])} {order}"


def _created(query: InstanceQuery) -> tuple[list[str], list[Any]]:
    bounds = [("created_at >= ?", query.created_from), ("created_at <= ?", query.created_to)]
    named = [(condition, _stamp(time)) for condition, time in bounds if time is not None]
    return [condition for condition, _ in named], [stamp for _, stamp in named]


def _delete(connection: sqlite3.Connection, keys: Iterable[int]) -> None:
    """Deletes instances with what they own, and gives the file's free pages back."""
    connection.executemany("DELETE FROM instances WHERE instance_key = ?", [(key,) for key in keys])
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _VACUUM_PAGES)):
        # One page a step; the module sqlite3 takes no second step of a statement without columns.
        connection.execute("PRAGMA incremental_vacuum(1)")


def _following(prefix: str) -> str | None:
    """The first text, in the order of code points, after all that begin with a prefix."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    successor = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if successor == 0xD800 else successor)


def _token(place: list[Any]) -> str:
    return msgspec.json.encode(place).hex()


def _read_token(token: str, kind: type[str] | type[int]) -> list[Any]:
    if not token:
        return []
    try:
        place = msgspec.json.decode(bytes.fromhex(token), type=list[kind])  # type: ignore[valid-type]
    except (ValueError, msgspec.DecodeError):
        place = []
    if len(place) != (1 if kind is str else 2):
        raise BadTokenError(f"expected the continuation token of a page of this list, found {token[:80]!r}")
    return place


def _stamp(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _instance(row: tuple[Any, ...]) -> Instance:
    return Instance(
        instance_id=row[0],
        execution_id=row[1],
        name=row[2],
        version=row[3],
        status=status_name(row[4]),
        input=row[5],
        output=row[6],
        custom_status=row[7],
        parent_id=row[8],
        created=_EPOCH + row[9] * _MICROSECOND,
        updated=_EPOCH + row[10] * _MICROSECOND,
    )
