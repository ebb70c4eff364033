"""Types of options: JSON values, times, filters of instances."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from worker_ext.client import DurableOrchestrationClient
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.protocol.codec import JSON, decode_json
from worker_ext.status import DurableOrchestrationStatus

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_IN_PATHS = frozenset("/\\?#")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def name(text: str) -> str:
    """The ID of an instance, or the name of something; what is none would reach another address of the host."""
    if text in ("", ".", ".."):
        raise click.BadParameter(f"expected an id or a name, found {text!r}")
    return text


def function_name(text: str) -> str:
    """The name of a function, which has no signs of a path."""
    if text in ("", ".", "..") or not _IN_PATHS.isdisjoint(text):
        raise click.BadParameter(f"expected the name of a function, found {text!r}")
    return text


class Given:
    """A JSON value that was given, so that null is told from nothing."""

    def __init__(self, value: JSON) -> None:
        self.value = value


def read_json(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Given | None:
    """Reads JSON text, or that of `@file`, or of `@-`, which is standard input."""
    if text is None:
        return None
    if text.startswith("@"):
        try:
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text("utf-8")
        except OSError as error:
            raise click.BadParameter(f"{text[1:]}: {error.strerror}") from None
    try:
        return Given(decode_json(text))
    except ValueError as error:
        example = f"'\"{text}\"'" if text.isalnum() else "'{\"n\": 1}'"
        raise click.BadParameter(f"expected JSON, such as {example}, found {text[:80]!r}: {error}") from None


def read_time(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    """Reads a time such as 2026-01-31T08:00, or how long ago, such as 90m or 2d."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        time = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"expected a time such as 2026-01-31T08:00 (UTC) or 2d for two days ago, found {text!r}"
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


STATES = click.Choice([status.value for status in OrchestrationRuntimeStatus], case_sensitive=False)


class Filter(Struct, frozen=True):
    """Which instances are meant; what is None or empty lets everything through."""

    states: tuple[OrchestrationRuntimeStatus, ...] = ()
    prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __bool__(self) -> bool:
        return self != Filter()

    def instances(
        self, client: DurableOrchestrationClient, *, show_input: bool = False, page_size: int | None = None
    ) -> AsyncGenerator[DurableOrchestrationStatus, None]:
        """The instances that fit."""
        return client.list_instances(
            self.created_after,
            self.created_before,
            list(self.states),
            self.prefix,
            show_input=show_input,
            page_size=page_size,
        )


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose instances; the command gets them as `chosen`, a Filter."""

    @functools.wraps(command)
    def choosing(
        *arguments: Any,
        states: tuple[str, ...],
        prefix: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
        **others: Any,
    ) -> Any:
        wanted = tuple(OrchestrationRuntimeStatus(name) for name in states)
        return command(*arguments, chosen=Filter(wanted, prefix, created_after, created_before), **others)

    with_options: Callable[..., Any] = choosing
    for option in (
        click.option("--created-before", callback=read_time, metavar="TIME", help="Created then or earlier."),
        click.option(
            "--created-after", callback=read_time, metavar="TIME", help="Created then or later; `2d`: days ago."
        ),
        click.option("--prefix", metavar="TEXT", help="With an id that begins so."),
        click.option(
            "--status",
            "states",
            type=STATES,
            multiple=True,
            metavar="STATE",
            help="In this state, such as Failed; may be repeated.",
        ),
    ):
        with_options = option(with_options)
    return with_options
