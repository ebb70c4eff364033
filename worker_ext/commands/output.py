"""How results are written: a table for a person, tab-separated lines or JSON for a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import click

Format = Literal["table", "tsv", "json"]
STATE_STYLES = {
    "Completed": "green",
    "Running": "cyan",
    "Failed": "red",
    "Terminated": "yellow",
    "Suspended": "magenta",
    "Pending": "dim",
}


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` and `--tsv`; without either a terminal gets a table and a pipe tab-separated lines."""
    command = click.option("--tsv", "form", flag_value="tsv", help="Write tab-separated lines.")(command)
    return click.option("--json", "form", flag_value="json", help="Write JSON.")(command)


def chosen_format(form: str | None) -> Format:
    """The form asked for, or the one that suits standard output."""
    match form:
        case "json" | "tsv":
            return form
    return "table" if sys.stdout.isatty() else "tsv"


def write_json(value: object) -> None:
    """Writes a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def write_rows(titles: Sequence[str], rows: Iterable[Sequence[str]], form: Format) -> None:
    """Writes rows of text as a table or as lines with tabs; lines have no title."""
    if form == "tsv":
        for row in rows:
            click.echo("\t".join(one_line(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one_line(cell), style=STATE_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def one_line(text: str) -> str:
    """A text without tabs and line ends."""
    return " ".join(text.split()) if any(character in text for character in "\t\r\n") else text


def brief(value: object, most: int = 60) -> str:
    """A JSON value in a few characters."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def show_time(time: datetime | None) -> str:
    """A time in UTC."""
    return "" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def show_seconds(seconds: float) -> str:
    """A duration as a person reads it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h {minutes}m"
    return f"{hours}h {minutes}m {rest}s" if hours else f"{minutes}m {rest}s"
