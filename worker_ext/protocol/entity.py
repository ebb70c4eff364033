"""Entities: who they are. An entity's instance ID is `@name@key`, the name in lower case.

Source: durable-functions JSON protocol, entity identity.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=True)
class EntityId:
    """The name of an entity function and the key of one of its entities.

    Raises:
        ValueError: The name or the key is empty.
    """

    name: str
    key: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Entity name cannot be empty")
        if not self.key:
            raise ValueError("Entity key cannot be empty")

    @staticmethod
    def get_scheduler_id(entity_id: EntityId) -> str:
        """The instance ID of an entity."""
        return f"@{entity_id.name.lower()}@{entity_id.key}"

    @staticmethod
    def get_entity_id(scheduler_id: str) -> EntityId:
        """Reads the instance ID of an entity; the key may contain `@`.

        Raises:
            ValueError: The text is not `@name@key`.
        """
        start, _, rest = scheduler_id.partition("@")
        name, separator, key = rest.partition("@")
        if start or not separator:
            raise ValueError(f"Unexpected format in SchedulerId: expected @name@key, found {scheduler_id!r}")
        return EntityId(name, key)

    @staticmethod
    def get_entity_id_url_path(entity_id: EntityId) -> str:
        """The path of an entity in the management API."""
        return f"entities/{entity_id.name}/{entity_id.key}"

    def __str__(self) -> str:
        return EntityId.get_scheduler_id(self)
