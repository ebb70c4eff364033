"""Commands that tell one instance something: raise-event, suspend, resume, rewind, restart."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click

from worker_ext.client import DurableOrchestrationClient
from worker_ext.commands import options
from worker_ext.commands.connected import connected, with_exit_codes
from worker_ext.commands.options import Given, read_json
from worker_ext.commands.states import expect_open
from worker_ext.errors import ClientError

Tell = Callable[[DurableOrchestrationClient, str, str], Coroutine[Any, Any, None]]


@click.command("raise-event", short_help="Send an event to an instance.")
@click.argument("instance_id", type=options.name)
@click.argument("event_name", type=options.name)
@click.option("--data", callback=read_json, metavar="JSON", help="What comes with it; @FILE reads it, @- from a pipe.")
@connected
async def raise_event(
    client: DurableOrchestrationClient, instance_id: str, event_name: str, data: Given | None
) -> None:
    """Send an event to an instance, which gets it from wait_for_external_event(EVENT_NAME).

    \b
    Example:
      worker-ext raise-event order-17 approved --data '{"by": "Ann"}'
    """
    await client.send_event(instance_id, event_name, None if data is None else data.value)


def _telling(name: str, short_help: str, text: str, tell: Tell) -> click.Command:
    """A command that tells an instance something, and why."""

    @click.command(name, short_help=short_help, help=text)
    @click.argument("instance_id", type=options.name)
    @click.option("--reason", default="", metavar="TEXT", help="Why; the host keeps it.")
    @connected
    async def command(client: DurableOrchestrationClient, instance_id: str, reason: str) -> None:
        await tell(client, instance_id, reason)

    return command


async def _suspend(client: DurableOrchestrationClient, instance_id: str, reason: str) -> None:
    await expect_open(client, instance_id)
    await client.suspend(instance_id, reason)


async def _resume(client: DurableOrchestrationClient, instance_id: str, reason: str) -> None:
    await expect_open(client, instance_id)
    await client.resume(instance_id, reason)


suspend = _telling(
    "suspend",
    "Stop an instance from going on.",
    """Stop an instance from going on until it is resumed. What is running already is finished and waits.

    \b
    Example:
      worker-ext suspend order-17 --reason "prices are wrong"
    """,
    _suspend,
)
resume = _telling(
    "resume",
    "Let a suspended instance go on.",
    """Let a suspended instance go on where it stood.

    \b
    Example:
      worker-ext resume order-17
    """,
    _resume,
)
rewind = _telling(
    "rewind",
    "Let a failed instance try again.",
    """Take a failed instance back to where it was before its failures and let it try again.

    \b
    Example:
      worker-ext rewind order-17 --reason "the bug is fixed"
    """,
    DurableOrchestrationClient.rewind,
)


@click.command(short_help="Start an instance again with the input it had.")
@click.argument("instance_id", type=options.name)
@click.option("--same-id", is_flag=True, help="Take the place of the old run, which must have ended.")
@connected
async def restart(client: DurableOrchestrationClient, instance_id: str, same_id: bool) -> None:
    """Start an instance again from the beginning, with the input it had, and write the id of the new run.

    \b
    Examples:
      worker-ext restart order-17
      worker-ext restart order-17 --same-id
    """
    try:
        answer = await client.restart(instance_id, restart_with_new_instance_id=not same_id)
    except ClientError as error:
        if error.status != 400:
            raise
        # Where others have a 404, a restart of what is not there is a bad argument.
        raise await client.missing(instance_id) from None
    click.echo(answer["id"] if isinstance(answer, dict) else answer)


COMMANDS = with_exit_codes(raise_event, suspend, resume, rewind, restart)
