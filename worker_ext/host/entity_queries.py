"""Reads entities for clients: one, or those of a name, page by page in the order of their ids.

Only entities that exist are shown. One that was deleted keeps its row, since messages may be on their way to it.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from worker_ext.host.database import Database
from worker_ext.host.entities import EntityRecord
from worker_ext.host.entity_messages import entity_instance, split_instance
from worker_ext.host.queries import BadTokenError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ROW = "SELECT instance_id, input, updated_at FROM instances JOIN payloads USING (instance_key) WHERE hub_key = ?"
_EXISTS = "json_extract(input, '$.exists')"


class EntityStatus(Struct, frozen=True, kw_only=True):
    """An entity that exists.

    Attributes:
        state: Its state as JSON text.
        last_operation: When it was last worked.
    """

    name: str
    key: str
    state: str | None
    last_operation: datetime


class EntityPage(Struct, frozen=True):
    """Some entities, and the token of the next page; empty at the end."""

    entities: list[EntityStatus]
    token: str


class EntityQueries:
    """Reads the entities of one task hub.

    Args:
        database: Where they are.
        hub_key: The task hub.
    """

    def __init__(self, database: Database, hub_key: int) -> None:
        self._database = database
        self._hub_key = hub_key

    async def read(self, name: str, key: str) -> EntityStatus | None:
        """One entity; None where it does not exist."""
        values = (self._hub_key, entity_instance(name, key))

        def job(connection: sqlite3.Connection) -> EntityStatus | None:
            statement = f"{_ROW} AND instance_id = ? AND {_EXISTS}"
            row = connection.execute(statement, values).fetchone()
            return None if row is None else _status(row)

        return await self._database.run(job)

    async def page(
        self,
        name: str = "",
        *,
        last_from: datetime | None = None,
        last_to: datetime | None = None,
        top: int = 100,
        token: str = "",
    ) -> EntityPage:
        """The first entities, or those that follow a page.

        Args:
            name: Those of this name; empty for all.
            last_from: Last worked at this time or later.
            last_to: Last worked at this time or earlier.
            top: How many at most.
            token: What the page before came with.

        Raises:
            BadTokenError: The token is not one of this list.
        """
        # No id has a character below these that ends a name, or a letter.
        start, end = (f"@{name.lower()}@", f"@{name.lower()}A") if name else ("@", "A")
        conditions = ["instance_id >= ?", "instance_id < ?", _EXISTS]
        values: list[Any] = [self._hub_key, start, end]
        for condition, value in (
            ("instance_id > ?", _read_token(token)),
            ("updated_at >= ?", _stamp(last_from)),
            ("updated_at <= ?", _stamp(last_to)),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        statement = f"{_ROW} AND {' AND '.join(conditions)} ORDER BY instance_id LIMIT ?"
        rows = await self._database.run(lambda connection: connection.execute(statement, [*values, top + 1]).fetchall())
        last = rows[top - 1][0] if len(rows) > top else ""
        return EntityPage([_status(row) for row in rows[:top]], last.encode().hex())


def _status(row: tuple[str, str, int]) -> EntityStatus:
    name, key = split_instance(row[0])
    record = EntityRecord.decode(row[1])
    return EntityStatus(name=name, key=key, state=record.state, last_operation=_EPOCH + row[2] * _MICROSECOND)


def _stamp(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _read_token(token: str) -> str | None:
    if not token:
        return None
    try:
        place = bytes.fromhex(token).decode()
    except ValueError:
        place = ""
    if not place.startswith("@"):
        raise BadTokenError(f"expected the continuation token of a page of this list, found {token[:80]!r}")
    return place
