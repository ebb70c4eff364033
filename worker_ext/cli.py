"""The command `worker-ext`: argument parsing; each command is one call.

What a command needs is imported when it runs: `--help` must be quick, and the base install has no click.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

# Top-level modules of the extra `host`.
_HOST_EXTRA = frozenset({"aiohttp", "click", "croniter", "google", "grpc", "rich", "watchfiles"})
_EPILOG = """\b
Example:
  worker-ext start my_app
  curl -X POST http://localhost:7071/api/orchestrators/hello_sequence
"""
_START_HELP = """Run the app in APP_DIR, the current folder by default.

Its HTTP functions answer on http://localhost:7071/api/..., its orchestrations run and are kept in
.worker_ext/<task hub>.db in that folder; they go on when the host is started again. The same folder runs with `func
start` and deploys to Azure as it is.

\b
Examples:
  worker-ext start                          the app in this folder, on port 7071
  worker-ext start my_app --port 7072       another folder, another port
  worker-ext start my_app --db :memory:     forget everything at the end
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    try:
        _commands().main(None if arguments is None else list(arguments), prog_name="worker-ext")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _HOST_EXTRA:
            raise
        sys.exit(f"worker-ext: {error.name} is not installed. The command needs it: pip install 'worker-ext[host]'")
    except KeyboardInterrupt:
        sys.exit(130)


def _commands() -> click.Group:
    import click

    @click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
    @click.version_option(package_name="worker-ext", prog_name="worker-ext")
    def commands() -> None:
        """Run Durable Functions apps in Python on this machine."""

    @commands.command(help=_START_HELP, short_help="Run an app on this machine.")
    @click.argument("app_dir", default=".", type=click.Path())
    @click.option(
        "--port",
        "-p",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Port to answer on; 0 is any free one. Default: 7071.",
    )
    @click.option("--db", metavar="FILE", help="Where instances are kept; `:memory:` keeps nothing.")
    @click.option("--verbose", "-v", is_flag=True, help="Show debug logs too.")
    def start(app_dir: str, port: int | None, db: str | None, verbose: bool) -> None:
        from worker_ext.host.console import Console
        from worker_ext.host.foreground import run

        sys.exit(run(app_dir, port=port, db=db, console=Console(verbose=verbose)))

    return commands


if __name__ == "__main__":
    main()
