"""The stream to the host in frames, as the local host of this package offers it to its own worker."""

from __future__ import annotations

import asyncio

from worker_ext.errors import HostError
from worker_ext.rpc import frames, pb


class FrameLink:
    """One connection."""

    def __init__(self, target: str, stream: frames.FrameStream) -> None:
        self._target = target
        self._stream = stream

    async def read(self) -> pb.StreamingMessage | None:
        """The next message; None when the host has ended the stream.

        Raises:
            HostError: The stream broke.
        """
        try:
            return await self._stream.read()
        except frames.BrokenStreamError as error:
            raise HostError(f"the stream to the host at {self._target} broke: {error}") from error

    async def write(self, message: pb.StreamingMessage) -> bool:
        """Sends a message; whether the stream still takes any."""
        self._stream.send(message)
        if self._stream.is_full:
            await self._stream.drained()
        return not self._stream.is_closed

    async def finish(self) -> None:
        """Says that nothing more will be written."""
        self._stream.finish()

    def cancel(self) -> None:
        """Ends the stream as it is."""
        self._stream.close()


async def connect(host: str, port: int, limit: float) -> FrameLink:
    """Opens a stream to the host at an address.

    Raises:
        HostError: No host answers within `limit` seconds.
    """
    target = f"{host}:{port}"
    try:
        async with asyncio.timeout(limit):
            return FrameLink(target, await frames.connect(host, port))
    except OSError:  # TimeoutError too
        raise HostError(f"no Functions host answers at {target}: is it running, and is the port right?") from None
