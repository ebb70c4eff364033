"""Requests to a host that may die at any moment: whoever asks learns what it said, or that nobody knows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .jobs import LEDGER, Job, Said
from .killer import Killer

PAGE = 1000
_SIDE_BY_SIDE = 8
_TIMEOUT = aiohttp.ClientTimeout(total=60)


class Client:
    """A client of the management API.

    Attributes:
        faults: Answers that the host must not give.
        cut_off: How many requests got no answer because the host was killed.
        ledger: What was put into the ledger, confirmed or not.
        confirmed: What of it the host said it has.
    """

    def __init__(self, session: aiohttp.ClientSession, webhook: str, killer: Killer) -> None:
        self.faults: list[str] = []
        self.cut_off = 0
        self.ledger: list[str] = []
        self.confirmed: list[str] = []
        self._session = session
        self._webhook = webhook
        self._killer = killer
        # Apart from each other, so that looking is not kept waiting by thousands of starts.
        self._places = {method: asyncio.Semaphore(_SIDE_BY_SIDE) for method in ("GET", "POST")}

    # ------------------------------------------------------------ work

    async def start(self, job: Job) -> None:
        """Starts an orchestration, once."""
        while True:
            answer = await self._send("POST", f"/orchestrators/{job.name}/{job.instance_id}", job.input)
            if answer is None and (await self.get(f"/instances/{job.instance_id}"))[0] == 404:
                continue
            if answer is not None and answer[0] != 202:
                self.faults.append(f"the start of {job.instance_id} was answered {answer}")
            return

    async def tell(self, job: Job, pause: Callable[[], float]) -> None:
        """Sends an orchestration its events, each until the host has it."""
        for number in range(job.size):
            await asyncio.sleep(pause())
            is_over = False
            attempt = 0
            while not is_over and (number, attempt - 1) not in job.confirmed:
                is_over = await self._say(job, (number, attempt))
                attempt += 1
            if is_over:
                return

    async def _say(self, job: Job, said: Said) -> bool:
        job.sent.append(said)
        answer = await self._send("POST", f"/instances/{job.instance_id}/raiseEvent/said", list(said))
        if answer is not None and answer[0] == 202:
            job.confirmed.add(said)
        elif answer is not None and answer[0] != 410:
            self.faults.append(f"event {said} of {job.instance_id} was answered {answer}")
        return answer is not None and answer[0] != 202

    async def put(self, item: str) -> None:
        """Puts something into the ledger, until the host has it."""
        for attempt in range(1000):
            name = f"{item}.{attempt}"
            self.ledger.append(name)
            answer = await self._send("POST", f"/entities/counter/{LEDGER}?op=put", name)
            if answer is not None:
                self.confirmed.append(name)
                if answer[0] != 202:
                    self.faults.append(f"the signal {name} was answered {answer}")
                return

    # ------------------------------------------------------------ looking

    async def open_instances(self) -> int:
        """How many orchestrations have not ended."""
        count, token = 0, ""
        while True:
            _, found, headers = await self._get(
                f"/instances?runtimeStatus=Running,Pending&top={PAGE}&showInput=false", token
            )
            count += sum(not item["instanceId"].startswith("@") for item in found)
            token = headers.get("x-ms-continuation-token", "")
            if token in ("", "null"):
                return count

    async def outcomes(self, jobs: Sequence[Job]) -> AsyncIterator[tuple[Job, dict[str, Any] | None]]:
        """The status of each orchestration with its history; None where the host has none."""
        waiting = [asyncio.create_task(self._outcome(job)) for job in jobs]
        for done in asyncio.as_completed(waiting):
            yield await done

    async def _outcome(self, job: Job) -> tuple[Job, dict[str, Any] | None]:
        status, body = await self.get(f"/instances/{job.instance_id}?showHistory=true&showHistoryOutput=true")
        return job, None if status == 404 else body

    async def state_of(self, key: str) -> Any:
        """The state of a counter; None where there is none."""
        status, body = await self.get(f"/entities/counter/{key}")
        return None if status == 404 else body

    async def ledger_faults(self) -> list[str]:
        """What is wrong with what the ledger holds."""
        held: Counter[str] = Counter(await self.state_of(LEDGER) or [])
        found = [f"the ledger has {name} {times} times" for name, times in held.items() if times > 1]
        found += [f"the ledger has {name}, which nobody put" for name in held.keys() - set(self.ledger)]
        return found + [f"the ledger lost {name}" for name in self.confirmed if name not in held]

    # ------------------------------------------------------------ requests

    async def get(self, path: str) -> tuple[int, Any]:
        """What the host says to a GET, asked again until it says something."""
        status, body, _ = await self._get(path)
        return status, body

    async def _get(self, path: str, token: str = "") -> tuple[int, Any, Any]:
        while True:
            answer = await self._send("GET", path, headers={"x-ms-continuation-token": token} if token else {})
            if answer is not None:
                return answer[0], json.loads(answer[1]) if answer[1] else None, answer[2]

    async def _send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, Any] | None:
        """Status, text and headers; None where the host was killed before it answered."""
        async with self._places[method]:
            await self._killer.host_up.wait()
            kills = self._killer.host_kills
            try:
                async with self._session.request(
                    method, self._webhook + path, json=body, headers=headers, timeout=_TIMEOUT
                ) as answer:
                    return answer.status, await answer.text(), answer.headers
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if self._killer.host_kills == kills:
                    self.faults.append(f"{method} {path} had no answer while the host was up: {error!r}")
                    await asyncio.sleep(1)
                self.cut_off += 1
                return None


@asynccontextmanager
async def client_of(webhook: str, killer: Killer) -> AsyncIterator[Client]:
    """A client while it is needed."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=False)) as session:
        yield Client(session, webhook, killer)
