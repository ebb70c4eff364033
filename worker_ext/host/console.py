"""What the local host prints: log lines as `func start` writes them, coloured where a person reads them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO
from zlib import crc32

from worker_ext.host.log_levels import LogLevels

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

Level = Literal["debug", "info", "warning", "error"]

_STYLES: dict[Level, str] = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}


# For functions and instances; none that a level has.
_COLOURS = ("cyan", "green", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")


class Console:
    """Writes to a stream, standard output by default.

    Args:
        stream: Where to.
        verbose: Whether debug lines are shown.
        as_json: Whether each entry is a JSON object, for programs to read.

    Attributes:
        verbose: The same.
        levels: Which entries are shown; from information on until settings say otherwise.
    """

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False, as_json: bool = False) -> None:
        self.levels = LogLevels()
        self._stream = sys.stdout if stream is None else stream
        self.verbose = verbose
        self._gone = False
        self._as_json = as_json
        self._rich = _rich_console(self._stream) if self._stream.isatty() and not as_json else None

    def log(self, level: Level, text: str, function: str = "", instance_id: str = "", *, category: str = "") -> None:
        """Writes one log entry with the time in front.

        Args:
            level: How grave it is.
            text: What it says.
            function: The function that logged it, or that it is about.
            instance_id: The instance that this function ran for.
            category: Which level of host.json decides whether it is shown; by default that of what functions log where
                it names one, else that of the host.
        """
        category = category or (f"Function.{function}.User" if function else "Host")
        if not self.levels.shows(level, category, verbose=self.verbose):
            return
        now = datetime.now(UTC)
        time = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
        if self._as_json:
            about = {"function": function, "instanceId": instance_id}
            entry = {"time": time, "level": level, "message": text} | {n: v for n, v in about.items() if v}
            self._write(json.dumps(entry, ensure_ascii=False))
            return
        source = " ".join(filter(None, (function, instance_id)))
        self._write(f"[{time}] ", _STYLES[level], source, text)

    def line(self, text: str = "", style: str = "") -> None:
        """Writes text as it is, or as a log entry where those are JSON."""
        if not self._as_json:
            self._write(text, style)
        elif text.strip():
            self.log("info", text.strip())

    def _write(self, text: str, style: str = "", source: str = "", rest: str = "") -> None:
        """Writes a line of a text, a source in a colour of its own, and the rest; stops where nobody reads any more."""
        if self._gone:
            return
        try:
            if self._rich is not None:
                from rich.text import Text

                colour = _COLOURS[crc32(source.encode()) % len(_COLOURS)]
                line = Text.assemble(text, (f"{source}: " if source else "", colour), rest, style=style)
                self._rich.print(line, soft_wrap=True)
            else:
                self._stream.write(f"{text}{source}{': ' if source else ''}{rest}\n")
                self._stream.flush()
        except OSError:  # a closed pipe, a terminal that is gone
            self._gone = True
            self._redirect()

    def _redirect(self) -> None:
        """Sends what is still in the stream's buffer nowhere, or Python would complain of it at exit."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def info(self, text: str) -> None:
        """Writes a log entry."""
        self.log("info", text)

    def warning(self, text: str) -> None:
        """Writes a warning."""
        self.log("warning", text)

    def error(self, text: str) -> None:
        """Writes an error."""
        self.log("error", text)

    def of_run(self, level: Level, text: str, function: str, instance_id: str = "") -> None:
        """Writes what the host has to say of a run of a function."""
        self.log(level, text, function, instance_id, category=f"Function.{function}")

    def listing(self, name: str, text: str) -> None:
        """Writes one line of the list of functions."""
        if self._rich is not None:
            from rich.text import Text

            self._rich.print(Text.assemble("\t", (name, "yellow"), ": ", (text, "green")), soft_wrap=True)
            self.line()
        else:
            self.line(f"\t{name}: {text}\n")

    @staticmethod
    def fatal(text: str) -> None:
        """Writes the one message of a host that cannot go on, to standard error."""
        print(f"worker-ext: {text}", file=sys.stderr)


class ConsoleHandler(logging.Handler):
    """Shows what the host's own modules and libraries log."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        self._console.log(level, self.format(record), category=f"Host.{record.name}")


def _rich_console(stream: TextIO) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(file=stream)
