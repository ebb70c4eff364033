"""Commands for one instance or many: terminate and purge, with progress."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

import click
from msgspec.structs import replace

from worker_ext.bulk import BulkResult, Progress
from worker_ext.client import DurableOrchestrationClient
from worker_ext.commands import options
from worker_ext.commands.connected import REFUSED, connected, exit_code, explain, fail, with_exit_codes
from worker_ext.commands.options import Filter, filter_options
from worker_ext.commands.states import ENDED, OPEN, expect_open
from worker_ext.errors import ClientError

Each = Callable[[AsyncIterable[str], Progress], Awaitable[BulkResult]]


@click.command(short_help="End instances at once.")
@click.argument("instance_ids", nargs=-1, type=options.name, metavar="[INSTANCE_ID]...")
@filter_options
@click.option("--all", "every", is_flag=True, help="Every instance that has not ended.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it becomes the output of the instance.")
@connected
async def terminate(
    client: DurableOrchestrationClient,
    instance_ids: tuple[str, ...],
    chosen: Filter,
    every: bool,
    yes: bool,
    reason: str,
) -> int:
    """End instances at once: those that are named, or those that fit and have not ended.

    Activities that are running are finished, and their results dropped. Children go on. The instance ends when the host
    takes its next turn: after the code that is running in it now.

    \b
    Examples:
      worker-ext terminate order-17 --reason "cancelled by Ann"
      worker-ext terminate --prefix test- --yes
    """

    async def one(instance_id: str) -> None:
        await expect_open(client, instance_id)
        await client.terminate(instance_id, reason)

    if instance_ids:
        _only_one_way(chosen, every)
        return await _named(instance_ids, one)
    _some_filter(chosen, every)
    wanted = chosen if chosen.states else replace(chosen, states=tuple(OPEN))
    return await _many(
        wanted.instances(client),
        lambda ids, progress: client.terminate_each(ids, reason, progress),
        "terminated",
        yes,
        "asked to terminate",
    )


@click.command(short_help="Delete instances that have ended.")
@click.argument("instance_ids", nargs=-1, type=options.name, metavar="[INSTANCE_ID]...")
@filter_options
@click.option("--all", "every", is_flag=True, help="Every instance that has ended.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@connected
async def purge(
    client: DurableOrchestrationClient,
    instance_ids: tuple[str, ...],
    chosen: Filter,
    every: bool,
    yes: bool,
) -> int:
    """Delete instances that have ended, with their histories: those that are named, or those that fit.

    \b
    Examples:
      worker-ext purge order-17
      worker-ext purge --status Completed --created-before 30d --yes
    """

    async def one(instance_id: str) -> None:
        if not (await client.purge_instance_history(instance_id)).instances_deleted:
            raise await client.missing(instance_id)

    if instance_ids:
        _only_one_way(chosen, every)
        return await _named(instance_ids, one)
    _some_filter(chosen, every)
    wanted = replace(chosen, states=tuple(state for state in chosen.states or ENDED if state in ENDED))
    if not wanted.states:
        raise click.UsageError("only instances that have ended can be purged; terminate the others first")
    return await _many(wanted.instances(client), client.purge_each, "purged", yes)


def _only_one_way(*filters: Any) -> None:
    if any(filters):
        raise click.UsageError("expected either instance ids or a filter, found both")


def _some_filter(*filters: Any) -> None:
    if not any(filters):
        raise click.UsageError("expected instance ids, a filter such as --status, or --all")


async def _named(instance_ids: tuple[str, ...], action: Callable[[str], Awaitable[None]]) -> int:
    """Does something to the instances that are named, each whatever became of the ones before."""
    code = 0
    for instance_id in instance_ids:
        try:
            await action(instance_id)
        except ClientError as error:
            code = max(code, fail(exit_code(error), explain(error)))
    return code


async def _many(found: AsyncIterator[Any], each: Each, done: str, yes: bool, outcome: str | None = None) -> int:
    """Does something to all that fit, after asking; the count is written, refusals go to standard error.

    Args:
        found: The instances.
        each: Does it.
        done: What is done to them.
        yes: Whether not to ask.
        outcome: What has been done so far, where it takes effect later.
    """
    ids = [str(status.instance_id) async for status in found]
    if ids and not yes:
        click.confirm(f"{len(ids)} instances will be {done}. Go on?", abort=True, err=True)
    result = await _with_progress(ids, each)
    click.echo(f"{result.done} {outcome or done}")
    for error in list(result.refused.values())[:10]:
        fail(REFUSED, explain(error))
    if len(result.refused) > 10:
        fail(REFUSED, f"and {len(result.refused) - 10} more were refused")
    return REFUSED if result.refused else 0


async def _with_progress(ids: list[str], each: Each) -> BulkResult:
    """Shows a bar on standard error where a person sees it."""
    with click.progressbar(length=len(ids), file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        return await each(_source(ids), lambda handled: bar.update(handled - bar.pos))


async def _source(ids: list[str]) -> AsyncIterator[str]:
    for instance_id in ids:
        yield instance_id


COMMANDS = with_exit_codes(terminate, purge)
