"""The tables of the database file, as numbered steps from an empty file; a step that was released never changes.

Times are microseconds since 1970 in UTC. Events are compact JSON, one text an event, or a batch's events joined by
commas. What an instance owns goes with it.
"""

from __future__ import annotations

APPLICATION_ID = 0x57455854
"""Marks the file as this host's own in its header (the letters WEXT)."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (  # 1: instances, their histories and what waits for them
        """
        CREATE TABLE hubs (
            hub_key INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE
        )
        """,
        """
        CREATE TABLE instances (
            instance_key INTEGER PRIMARY KEY,
            hub_key INTEGER NOT NULL REFERENCES hubs,
            instance_id TEXT NOT NULL,
            execution_id TEXT NOT NULL,
            name TEXT NOT NULL,
            version TEXT,
            status INTEGER NOT NULL,
            custom_status TEXT,
            parent_id TEXT,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (hub_key, instance_id)
        )
        """,
        "CREATE INDEX instances_by_time ON instances (hub_key, created_at)",
        # Apart from the row above, which every turn writes: these may be large.
        """
        CREATE TABLE payloads (
            instance_key INTEGER PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
            input TEXT,
            output TEXT
        )
        """,
        # The batches of the current execution, oldest first.
        """
        CREATE TABLE history (
            instance_key INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
            turn INTEGER NOT NULL,
            events TEXT NOT NULL,
            PRIMARY KEY (instance_key, turn)
        ) WITHOUT ROWID
        """,
        # What the next batch delivers, in the order of arrival; a null execution means whichever runs.
        """
        CREATE TABLE messages (
            message_id INTEGER PRIMARY KEY,
            instance_key INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
            execution_id TEXT,
            event TEXT NOT NULL
        )
        """,
        "CREATE INDEX messages_by_instance ON messages (instance_key)",
        # What becomes a message at its time.
        """
        CREATE TABLE timers (
            timer_id INTEGER PRIMARY KEY,
            hub_key INTEGER NOT NULL REFERENCES hubs,
            instance_key INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
            execution_id TEXT,
            due_at INTEGER NOT NULL,
            event TEXT NOT NULL
        )
        """,
        "CREATE INDEX timers_by_time ON timers (hub_key, due_at)",
        "CREATE INDEX timers_by_instance ON timers (instance_key)",
        # Activities that are to be run or are running.
        """
        CREATE TABLE activities (
            activity_id INTEGER PRIMARY KEY,
            hub_key INTEGER NOT NULL REFERENCES hubs,
            instance_key INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
            execution_id TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            name TEXT NOT NULL,
            input TEXT
        )
        """,
        "CREATE INDEX activities_by_instance ON activities (instance_key)",
        "CREATE INDEX activities_by_hub ON activities (hub_key, activity_id)",
    ),
    (  # 2: instances in a state, oldest first
        "CREATE INDEX instances_by_status ON instances (hub_key, status, created_at)",
    ),
    (  # 3: when timer triggers fired last and are to fire next
        """
        CREATE TABLE timer_triggers (
            hub_key INTEGER NOT NULL REFERENCES hubs,
            name TEXT NOT NULL,
            last_at INTEGER,
            next_at INTEGER NOT NULL,
            PRIMARY KEY (hub_key, name)
        ) WITHOUT ROWID
        """,
    ),
    (  # 4: when activities that are done began to run, which no event tells
        """
        CREATE TABLE starts (
            instance_key INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
            task_id INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            PRIMARY KEY (instance_key, task_id)
        ) WITHOUT ROWID
        """,
    ),
    (  # 5: the span that an activity is part of, as its traceparent
        "ALTER TABLE activities ADD COLUMN trace_parent TEXT",
    ),
)
