"""The management commands of `worker-ext`: instances of a running host, local or deployed, from a terminal or a script.

Each is click's face of a few calls of the client. Results go to standard output, everything else to standard error.
A command's module is imported when the command is asked for: `worker-ext start` must be quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

INTERRUPTED = 130

_MODULES = {
    "list": "instances",
    "show": "instances",
    "start-new": "instances",
    "export": "instances",
    "raise-event": "messages",
    "suspend": "messages",
    "resume": "messages",
    "rewind": "messages",
    "restart": "messages",
    "terminate": "many",
    "purge": "many",
    "entities": "entities",
}


class CommandGroup(click.Group):
    """The group of all commands: its own, and the management commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; Ctrl-C ends it without a word, with the exit code that shells give it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order of the help: its own commands first."""
        return [*super().list_commands(ctx), *_MODULES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        commands: dict[str, click.Command] = import_module(f"{__name__}.{_MODULES[cmd_name]}").COMMANDS
        return commands[cmd_name]
