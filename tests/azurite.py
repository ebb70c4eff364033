"""Azurite, the storage emulator that Azure Functions Core Tools needs: on ports and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_process import PATIENCE, free_port, wait_until

PACKAGE = "azurite@3"
ACCOUNT = "devstoreaccount1"
# The one key of every emulator, as its documentation gives it.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
INSTALL_SECONDS = 120
FETCH_MS = 30_000
SERVICES = ("blob", "queue", "table")


def find_azurite(cache: Path) -> Path:
    """The command: on PATH, or installed by npm into a folder that outlives the test run; else the test is skipped."""
    found = shutil.which("azurite")
    if found:
        return Path(found)
    command = cache / "node_modules" / ".bin" / "azurite"
    if not command.exists():
        _install(cache)
    return command


def _install(cache: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("neither azurite nor npm, which could install it, is on PATH")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as folder:
        options = ["--prefix", folder, "--no-audit", "--no-fund", "--loglevel", "error"]
        options += ["--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--fetch-timeout", str(FETCH_MS)]
        try:
            done = subprocess.run(
                [npm, "install", *options, PACKAGE],
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"azurite is not on PATH, and npm has not installed it within {INSTALL_SECONDS} seconds")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"azurite is not on PATH, and npm cannot install it: {last}")
        # Moved when it is whole: this run may be ended, and another may have done the same meanwhile.
        with contextlib.suppress(OSError):
            Path(folder, "node_modules").rename(cache / "node_modules")


class Azurite:
    """An emulator that runs; what it holds stays in its folder.

    Args:
        command: What is run.
        folder: Where it keeps its data.

    Attributes:
        command: The program.
        ports: The port of each service.
    """

    def __init__(self, command: Path, folder: Path) -> None:
        self.command = command
        self.ports = {service: free_port() for service in SERVICES}
        self._log = folder / "azurite.log"
        options = [text for service, port in self.ports.items() for text in (f"--{service}Port", str(port))]
        folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(command), "--location", str(folder), "--skipApiVersionCheck", "--disableTelemetry", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._serves, "Azurite to serve", self._log.read_text)

    @property
    def connection_string(self) -> str:
        """What an app's AzureWebJobsStorage is."""
        addresses = (f"{name.capitalize()}Endpoint={self.url(name)}" for name in SERVICES)
        return ";".join(["DefaultEndpointsProtocol=http", f"AccountName={ACCOUNT}", f"AccountKey={KEY}", *addresses])

    def url(self, service: str) -> str:
        """The address of one of its services."""
        return f"http://127.0.0.1:{self.ports[service]}/{ACCOUNT}"

    def server_of(self, service: str) -> str | None:
        """What a service calls itself; None where nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.url(service)}?comp=list", timeout=PATIENCE) as answer:
                return str(answer.headers["Server"])
        except urllib.error.HTTPError as error:  # it wants a signature, and says who it is
            with error:
                return str(error.headers["Server"])
        except OSError:
            return None

    def stop(self) -> None:
        """Ends it, and waits for its end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(PATIENCE)

    def _serves(self) -> bool:
        assert self._process.poll() is None, f"Azurite has ended:\n{self._log.read_text()}"
        return all(self.server_of(service) is not None for service in SERVICES)


@contextlib.contextmanager
def running_azurite(command: Path, folder: Path) -> Iterator[Azurite]:
    """An emulator for as long as the block runs."""
    azurite = Azurite(command, folder)
    try:
        yield azurite
    finally:
        azurite.stop()
