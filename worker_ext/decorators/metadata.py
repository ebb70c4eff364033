"""The declarations of the four durable bindings, as function.json states them."""

from __future__ import annotations

from azure.functions.decorators.core import InputBinding, Trigger


class OrchestrationTrigger(Trigger):
    """The declaration of an orchestrator."""

    def __init__(self, name: str, orchestration: str | None = None) -> None:
        self.orchestration = orchestration
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "orchestrationTrigger"


class ActivityTrigger(Trigger):
    """The declaration of an activity."""

    def __init__(self, name: str, activity: str | None = None) -> None:
        self.activity = activity
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "activityTrigger"


class EntityTrigger(Trigger):
    """The declaration of an entity."""

    def __init__(self, name: str, entity_name: str | None = None) -> None:
        self.entity_name = entity_name
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "entityTrigger"


class DurableClient(InputBinding):
    """The declaration of a durable client."""

    def __init__(self, name: str, task_hub: str | None = None, connection_name: str | None = None) -> None:
        self.task_hub = task_hub
        self.connection_name = connection_name
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "durableClient"
