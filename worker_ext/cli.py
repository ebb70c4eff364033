"""The command `worker-ext`: argument parsing; each command is one call.

What a command needs is imported when it runs: `--help` must be quick, and the base install has no click.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

# Top-level modules of the extra `host`.
_HOST_EXTRA = frozenset({"aiohttp", "click", "croniter", "google", "grpc", "rich", "watchfiles"})
# What a write says when the disk behind standard output takes no more. A reader that has gone (EPIPE) is click's.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})
_EPILOG = """\b
Examples:
  worker-ext start my_app
  worker-ext start-new hello_sequence --wait 10
  worker-ext list --status Failed
  worker-ext show INSTANCE_ID

The commands but `start` talk to a host that runs: the one on this machine, or another with --url and --key.
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
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        # What is still in the buffer would be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"worker-ext: the output cannot be written: {error.strerror}")


def _commands() -> click.Group:
    import click

    from worker_ext.commands import CommandGroup

    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

    @click.group(cls=CommandGroup, epilog=_EPILOG, context_settings=settings)
    @click.version_option(package_name="worker-ext", prog_name="worker-ext")
    def commands() -> None:
        """Run Durable Functions apps in Python on this machine, and manage their instances anywhere."""

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
    @click.option("--enable-auth", is_flag=True, help="Ask callers for keys as Azure does; made at the first start.")
    @click.option("--reload/--no-reload", default=True, show_default=True, help="Load the app anew when it changes.")
    @click.option("--json", "as_json", is_flag=True, help="Write logs as JSON, one object a line.")
    @click.option("--verbose", "-v", is_flag=True, help="Show debug logs too.")
    def start(
        app_dir: str, port: int | None, db: str | None, enable_auth: bool, reload: bool, as_json: bool, verbose: bool
    ) -> None:
        from worker_ext.host.console import Console
        from worker_ext.host.foreground import run
        from worker_ext.host.local_host import LocalHost

        console = Console(verbose=verbose, as_json=as_json)
        sys.exit(
            run(
                lambda: LocalHost(app_dir, port=port, db=db, console=console, enable_auth=enable_auth, reload=reload),
                console,
            )
        )

    return commands


if __name__ == "__main__":
    main()
