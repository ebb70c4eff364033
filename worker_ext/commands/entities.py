"""Commands for entities: list them, read one, signal one."""

from __future__ import annotations

from contextlib import aclosing
from itertools import count

import click

from worker_ext.client import DurableOrchestrationClient
from worker_ext.commands import options
from worker_ext.commands.connected import NOT_FOUND, connected, fail, with_exit_codes
from worker_ext.commands.options import Given, read_json
from worker_ext.commands.output import brief, chosen_format, format_options, show_time, write_json, write_rows
from worker_ext.protocol.entity import EntityId
from worker_ext.status import EntityStatus


@click.group(short_help="List, read and signal entities.")
def entities() -> None:
    """List, read and signal entities."""


@click.command("list", short_help="List entities.")
@click.argument("name", type=options.function_name, required=False)
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most; 0 is all.")
@format_options
@connected
async def list_entities(client: DurableOrchestrationClient, name: str | None, limit: int, form: str | None) -> None:
    """List the entities of a host, or those of one function, with their states.

    A pipe gets lines of name, key, time of the last operation and state, separated by tabs.

    \b
    Examples:
      worker-ext entities list
      worker-ext entities list counter --json | jq '.[].state'
    """
    found: list[EntityStatus] = []
    numbers = count(1)
    async with aclosing(client.list_entities(name, fetch_state=True)) as listed:
        async for entity in listed:
            found.append(entity)
            if next(numbers) == limit:
                break
    chosen = chosen_format(form)
    if chosen == "json":
        write_json([_as_json(entity) for entity in found])
        return
    rows = [[item.name, item.key, show_time(item.last_operation_time), brief(item.state)] for item in found]
    write_rows(("ENTITY", "KEY", "LAST OPERATION", "STATE"), rows, chosen)
    if limit and len(found) == limit:
        click.echo(f"The first {limit}; --limit 0 lists all.", err=True)


def _as_json(entity: EntityStatus) -> dict[str, object]:
    return {
        "entityId": {"name": entity.name, "key": entity.key},
        "lastOperationTime": show_time(entity.last_operation_time),
        "state": entity.state,
    }


@click.command(short_help="Show the state of an entity.")
@click.argument("name", type=options.function_name)
@click.argument("entity_key", type=options.name, metavar="KEY")
@connected
async def read(client: DurableOrchestrationClient, name: str, entity_key: str) -> int | None:
    """Write the state of an entity as JSON.

    \b
    Example:
      worker-ext entities read counter downloads
    """
    found = await client.read_entity_state(EntityId(name, entity_key))
    if not found.entity_exists:
        return fail(NOT_FOUND, f"{name} {entity_key}: there is no such entity")
    write_json(found.entity_state)
    return None


@click.command(short_help="Send an operation to an entity.")
@click.argument("name", type=options.function_name)
@click.argument("entity_key", type=options.name, metavar="KEY")
@click.argument("operation", type=options.name)
@click.option("--input", "value", callback=read_json, metavar="JSON", help="Its input; @FILE reads it, @- from a pipe.")
@connected
async def signal(
    client: DurableOrchestrationClient, name: str, entity_key: str, operation: str, value: Given | None
) -> None:
    """Send an operation to an entity, which comes into being if it does not exist, and do not wait for it.

    \b
    Example:
      worker-ext entities signal counter downloads add --input 5
    """
    await client.signal_entity(EntityId(name, entity_key), operation, None if value is None else value.value)


for _command in with_exit_codes(list_entities, read, signal).values():
    entities.add_command(_command)

COMMANDS: dict[str, click.Command] = {"entities": entities}
