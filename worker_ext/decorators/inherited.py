"""The decorators of azure-functions, as Blueprint and DFApp inherit them, for type checkers.

azure-functions says of its decorators that they return anything: a function would lose its signature under them. What
they leave in its place is still called as it is written, so here they return what they are given. At run time there is
nothing but the inheritance.
"""

# mypy finds a `self` too many for Concatenate in methods with `**kwargs`; their parameters come through all the same.
# mypy: disable-error-code="arg-type"

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from azure.functions import BindingApi, SettingsApi, TriggerApi

P = ParamSpec("P")
F = TypeVar("F")

if TYPE_CHECKING:

    class _Decorator(Protocol):
        """Puts a binding or a setting on a function, and leaves it as it is."""

        def __call__(self, func: F) -> F: ...

    def _keeps(
        inherited: Callable[Concatenate[Any, P], Any],
    ) -> Callable[[object], Callable[Concatenate[Any, P], _Decorator]]:
        """The parameters of an inherited method, with a better result."""
        raise NotImplementedError


class InheritedDecorators(TriggerApi, BindingApi, SettingsApi):
    """Every decorator of azure-functions but the four that this package has itself."""

    if TYPE_CHECKING:

        @_keeps(TriggerApi.function_name)
        def function_name(self) -> None: ...

        @_keeps(TriggerApi.http_type)
        def http_type(self) -> None: ...

        @_keeps(TriggerApi.route)
        def route(self) -> None: ...

        @_keeps(TriggerApi.timer_trigger)
        def timer_trigger(self) -> None: ...

        @_keeps(TriggerApi.schedule)
        def schedule(self) -> None: ...

        @_keeps(TriggerApi.warm_up_trigger)
        def warm_up_trigger(self) -> None: ...

        @_keeps(TriggerApi.service_bus_queue_trigger)
        def service_bus_queue_trigger(self) -> None: ...

        @_keeps(TriggerApi.service_bus_topic_trigger)
        def service_bus_topic_trigger(self) -> None: ...

        @_keeps(TriggerApi.queue_trigger)
        def queue_trigger(self) -> None: ...

        @_keeps(TriggerApi.event_hub_message_trigger)
        def event_hub_message_trigger(self) -> None: ...

        @_keeps(TriggerApi.cosmos_db_trigger_v3)
        def cosmos_db_trigger_v3(self) -> None: ...

        @_keeps(TriggerApi.cosmos_db_trigger)
        def cosmos_db_trigger(self) -> None: ...

        @_keeps(TriggerApi.blob_trigger)
        def blob_trigger(self) -> None: ...

        @_keeps(TriggerApi.event_grid_trigger)
        def event_grid_trigger(self) -> None: ...

        @_keeps(TriggerApi.kafka_trigger)
        def kafka_trigger(self) -> None: ...

        @_keeps(TriggerApi.sql_trigger)
        def sql_trigger(self) -> None: ...

        @_keeps(TriggerApi.mysql_trigger)
        def mysql_trigger(self) -> None: ...

        @_keeps(TriggerApi.generic_trigger)
        def generic_trigger(self) -> None: ...

        @_keeps(TriggerApi.connector_trigger)
        def connector_trigger(self) -> None: ...

        @_keeps(TriggerApi.mcp_tool_trigger)
        def mcp_tool_trigger(self) -> None: ...

        @_keeps(TriggerApi.mcp_tool)
        def mcp_tool(self) -> None: ...

        @_keeps(TriggerApi.mcp_tool_property)
        def mcp_tool_property(self) -> None: ...

        @_keeps(TriggerApi.mcp_resource_trigger)
        def mcp_resource_trigger(self) -> None: ...

        @_keeps(TriggerApi.mcp_prompt_trigger)
        def mcp_prompt_trigger(self) -> None: ...

        @_keeps(TriggerApi.dapr_service_invocation_trigger)
        def dapr_service_invocation_trigger(self) -> None: ...

        @_keeps(TriggerApi.dapr_binding_trigger)
        def dapr_binding_trigger(self) -> None: ...

        @_keeps(TriggerApi.dapr_topic_trigger)
        def dapr_topic_trigger(self) -> None: ...

        @_keeps(TriggerApi.assistant_skill_trigger)
        def assistant_skill_trigger(self) -> None: ...

        @_keeps(BindingApi.service_bus_queue_output)
        def service_bus_queue_output(self) -> None: ...

        @_keeps(BindingApi.service_bus_topic_output)
        def service_bus_topic_output(self) -> None: ...

        @_keeps(BindingApi.queue_output)
        def queue_output(self) -> None: ...

        @_keeps(BindingApi.event_hub_output)
        def event_hub_output(self) -> None: ...

        @_keeps(BindingApi.cosmos_db_output_v3)
        def cosmos_db_output_v3(self) -> None: ...

        @_keeps(BindingApi.cosmos_db_output)
        def cosmos_db_output(self) -> None: ...

        @_keeps(BindingApi.cosmos_db_input_v3)
        def cosmos_db_input_v3(self) -> None: ...

        @_keeps(BindingApi.cosmos_db_input)
        def cosmos_db_input(self) -> None: ...

        @_keeps(BindingApi.blob_input)
        def blob_input(self) -> None: ...

        @_keeps(BindingApi.blob_output)
        def blob_output(self) -> None: ...

        @_keeps(BindingApi.event_grid_output)
        def event_grid_output(self) -> None: ...

        @_keeps(BindingApi.kafka_output)
        def kafka_output(self) -> None: ...

        @_keeps(BindingApi.table_input)
        def table_input(self) -> None: ...

        @_keeps(BindingApi.table_output)
        def table_output(self) -> None: ...

        @_keeps(BindingApi.sql_input)
        def sql_input(self) -> None: ...

        @_keeps(BindingApi.sql_output)
        def sql_output(self) -> None: ...

        @_keeps(BindingApi.generic_input_binding)
        def generic_input_binding(self) -> None: ...

        @_keeps(BindingApi.generic_output_binding)
        def generic_output_binding(self) -> None: ...

        @_keeps(BindingApi.dapr_state_input)
        def dapr_state_input(self) -> None: ...

        @_keeps(BindingApi.dapr_secret_input)
        def dapr_secret_input(self) -> None: ...

        @_keeps(BindingApi.dapr_state_output)
        def dapr_state_output(self) -> None: ...

        @_keeps(BindingApi.dapr_invoke_output)
        def dapr_invoke_output(self) -> None: ...

        @_keeps(BindingApi.dapr_publish_output)
        def dapr_publish_output(self) -> None: ...

        @_keeps(BindingApi.dapr_binding_output)
        def dapr_binding_output(self) -> None: ...

        @_keeps(BindingApi.text_completion_input)
        def text_completion_input(self) -> None: ...

        @_keeps(BindingApi.assistant_create_output)
        def assistant_create_output(self) -> None: ...

        @_keeps(BindingApi.assistant_query_input)
        def assistant_query_input(self) -> None: ...

        @_keeps(BindingApi.assistant_post_input)
        def assistant_post_input(self) -> None: ...

        @_keeps(BindingApi.embeddings_input)
        def embeddings_input(self) -> None: ...

        @_keeps(BindingApi.semantic_search_input)
        def semantic_search_input(self) -> None: ...

        @_keeps(BindingApi.embeddings_store_output)
        def embeddings_store_output(self) -> None: ...

        @_keeps(BindingApi.mysql_input)
        def mysql_input(self) -> None: ...

        @_keeps(BindingApi.mysql_output)
        def mysql_output(self) -> None: ...

        @_keeps(SettingsApi.retry)
        def retry(self) -> None: ...
