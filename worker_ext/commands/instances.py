"""Commands that read and start instances: list, show, export, start-new."""

from __future__ import annotations

import json
from contextlib import aclosing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import click

from worker_ext.client import DurableOrchestrationClient
from worker_ext.commands import options
from worker_ext.commands.connected import NOT_COMPLETED, connected, fail, with_exit_codes
from worker_ext.commands.options import Filter, Given, filter_options, read_json
from worker_ext.commands.output import (
    brief,
    chosen_format,
    format_options,
    show_time,
    write_json,
    write_rows,
)
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.status import DurableOrchestrationStatus

_PAGE = 100


@click.command("list", short_help="List instances.")
@filter_options
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most; 0 is all.")
@format_options
@connected
async def list_instances(
    client: DurableOrchestrationClient,
    chosen: Filter,
    limit: int,
    form: str | None,
) -> None:
    """List the instances of a host, by time of creation.

    A terminal gets a table. A pipe gets lines of id, function, state, time created, time updated, separated by tabs.

    \b
    Examples:
      worker-ext list --status Failed --created-after 1d
      worker-ext list --prefix order- --json | jq '.[].output'
      worker-ext list --status Running --limit 0 --tsv | cut -f1
    """
    found: list[DurableOrchestrationStatus] = []
    numbers = count(1)
    page_size = min(limit, _PAGE) if limit else None
    async with aclosing(chosen.instances(client, show_input=True, page_size=page_size)) as instances:
        async for status in instances:
            found.append(status)
            if next(numbers) == limit:
                break
    form = chosen_format(form)
    if form == "json":
        write_json([as_json(status) for status in found])
        return
    titles = ("INSTANCE", "FUNCTION", "STATE", "CREATED", "UPDATED")
    write_rows(titles, [_row(status) for status in found], form)
    if limit and len(found) == limit:
        click.echo(f"The first {limit}; --limit 0 lists all.", err=True)


def _row(status: DurableOrchestrationStatus) -> list[str]:
    times = [show_time(status.created_time), show_time(status.last_updated_time)]
    return [status.instance_id or "", status.name or "", state_of(status), *times]


def state_of(status: DurableOrchestrationStatus) -> str:
    """The name of an instance's state."""
    return "" if status.runtime_status is None else status.runtime_status.value


def as_json(status: DurableOrchestrationStatus) -> dict[str, Any]:
    """A status as the management API writes it."""
    body = {
        "name": status.name,
        "instanceId": status.instance_id,
        "runtimeStatus": state_of(status),
        "input": status.input_,
        "customStatus": status.custom_status,
        "output": status.output,
        "createdTime": show_time(status.created_time),
        "lastUpdatedTime": show_time(status.last_updated_time),
    }
    return body if status.history is None else body | {"historyEvents": status.history}


@click.command(short_help="Show an instance and its timeline.")
@click.argument("instance_id", type=options.name)
@click.option("--children/--no-children", default=True, show_default=True, help="Show the timelines of children too.")
@click.option("--json", "as_text", is_flag=True, help="Write the status with its history as JSON.")
@connected
async def show(client: DurableOrchestrationClient, instance_id: str, children: bool, as_text: bool) -> int | None:
    """Show an instance: its state, its values, and its timeline as a tree.

    Each step has the time it began, counted from the start of the instance, and the time it took: how long it waited
    for its turn, then how long it ran. A deployed host does not tell these apart; its steps have the whole time.

    \b
    Examples:
      worker-ext show order-17
      worker-ext show order-17 --json | jq .historyEvents
    """
    status = await with_history(client, instance_id)
    if not status:
        raise await client.missing(instance_id)
    if as_text:
        write_json(as_json(status))
        return None
    from worker_ext.commands.show import render

    await render(client, status, children=children)
    return None


async def with_history(client: DurableOrchestrationClient, instance_id: str) -> DurableOrchestrationStatus:
    """A status with all the host tells."""
    return await client.get_status(
        instance_id, show_history=True, show_history_output=True, show_input=True, show_starts=True
    )


@click.command(short_help="Write the history of an instance to a file for tests.")
@click.argument("instance_id", type=options.name)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file; default: the screen.")
@connected
async def export(client: DurableOrchestrationClient, instance_id: str, output: Path | None) -> int | None:
    """Write the history of an instance as JSON, for tests that replay it against the code of today.

    A test is two lines: turn = worker_ext.testing.replay(ship, Path("order-17.json")), then assert turn.output == ...
    The status of the instance stands in the file too, as `instance`.

    \b
    Examples:
      worker-ext export order-17 --output tests/order-17.json
      worker-ext export order-17 | jq '.history | length'
    """
    recorded = await client.export_history(instance_id)
    if output is not None:
        return _write(output, recorded)
    click.echo(recorded, nl=False)
    return None


def _write(output: Path, recorded: str) -> int:
    try:
        output.write_text(recorded, "utf-8")
    except OSError as error:
        return fail(1, f"{output}: {error.strerror}")
    click.echo(f"{output}: {len(json.loads(recorded)['history'])} events", err=True)
    return 0


@click.command(short_help="Start an instance.")
@click.argument("function", type=options.function_name)
@click.option(
    "--id", "instance_id", type=options.name, metavar="ID", help="The id of the instance; default: a new one."
)
@click.option("--input", "value", callback=read_json, metavar="JSON", help="The input; @FILE reads it, @- from a pipe.")
@click.option("--version", "version", metavar="TEXT", help="The version of the instance.")
@click.option("--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait that long for it to complete.")
@connected
async def start_new(
    client: DurableOrchestrationClient,
    function: str,
    instance_id: str | None,
    value: Given | None,
    version: str | None,
    wait: float | None,
) -> int | None:
    """Start an instance of an orchestration and write its id.

    With --wait its output is written instead, as JSON, once it has completed.

    \b
    Examples:
      worker-ext start-new ship_order --input '{"order": 17}' --id order-17
      worker-ext start-new nightly --wait 60 && echo done
    """
    started = await client.start_new(function, instance_id, None if value is None else value.value, version)
    if wait is None:
        click.echo(started)
        return None
    poll = timedelta(milliseconds=100)
    status = await client.wait_for_completion(started, timedelta(seconds=wait), poll)
    if status.runtime_status is not OrchestrationRuntimeStatus.Completed:
        return fail(NOT_COMPLETED, f"{started}: {state_of(status)}: {brief(status.output, 500)}")
    write_json(status.output)
    return None


COMMANDS = with_exit_codes(list_instances, show, start_new, export)
