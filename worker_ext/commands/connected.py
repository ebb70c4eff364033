"""What every management command does: find the host, call it, turn what goes wrong into a message and an exit code."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

import click

from worker_ext.client import DurableOrchestrationClient
from worker_ext.connection import KEY_VARIABLE, URL_VARIABLE, find_target
from worker_ext.errors import ClientError

REFUSED, NOT_FOUND, UNREACHABLE, NOT_COMPLETED, TIMED_OUT = 1, 3, 4, 5, 6
EXIT_CODES = """\b
Exit codes: 0 done, 1 the host refused, 2 wrong usage, 3 no such instance, 4 the host does not answer,
5 the instance ended otherwise than completed, 6 waited in vain.
"""

P = ParamSpec("P")
Body = Callable[Concatenate[DurableOrchestrationClient, P], Coroutine[Any, Any, int | None]]


def connected(body: Body[P]) -> Callable[..., None]:
    """Makes a click callback of a coroutine function that gets a client first and may give an exit code back."""

    @click.option(
        "--url",
        envvar=URL_VARIABLE,
        show_envvar=True,
        show_default="the app of this folder, or http://localhost:7071",
        metavar="URL",
        help="The host to talk to.",
    )
    @click.option(
        "--key",
        envvar=KEY_VARIABLE,
        show_envvar=True,
        metavar="KEY",
        help="System key or master key of a host that asks for one.",
    )
    @functools.wraps(body)
    def command(*arguments: Any, url: str | None, key: str | None, **options: Any) -> None:
        try:
            target = find_target(url, key)
            client = DurableOrchestrationClient.connect(*target)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--url") from None
        sys.exit(_run(lambda: body(client, *arguments, **options), target.url, is_named=bool(url)))

    return command


def _run(begin: Callable[[], Coroutine[Any, Any, int | None]], url: str, *, is_named: bool) -> int:
    import aiohttp

    work = begin()
    try:
        return asyncio.run(work) or 0
    except ClientError as error:
        return fail(exit_code(error), explain(error))
    except TimeoutError as error:
        return fail(TIMED_OUT, str(error) or f"{url} did not answer in time")
    except aiohttp.ClientError as error:
        is_plain = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)
        why = "" if is_plain else f" ({error})"
        hint = "Check the address" if is_named else "Start the app with `worker-ext start`"
        return fail(UNREACHABLE, f"{url} does not answer{why}. {hint}, or name another host with --url")
    finally:
        work.close()  # Ctrl-C may come before it has begun


def exit_code(error: ClientError) -> int:
    """Tells an instance that is not there from any other refusal."""
    return NOT_FOUND if error.status == 404 and error.instance_id is not None else REFUSED


def explain(error: ClientError) -> str:
    """A refusal in one line."""
    if error.status == 401:
        return f"the host wants a key, or another one. Give it with --key or in {KEY_VARIABLE}"
    target = f"{error.instance_id}: " if error.instance_id is not None else ""
    return f"{target}{error.message}"


def fail(code: int, message: str) -> int:
    """Says on standard error what went wrong; gives the exit code back."""
    click.echo(f"worker-ext: {message}", err=True)
    return code


def with_exit_codes(*commands: click.Command) -> dict[str, click.Command]:
    """Commands by name, each with what its exit codes mean at the end of its help."""
    for command in commands:
        command.epilog = EXIT_CODES
    return {str(command.name): command for command in commands}
