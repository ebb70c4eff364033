"""The extension's recordings through the running host: real worker, management API, store and timers.

The app's functions answer what was recorded (`apps/replayed`). What came from outside is sent over the management API.
An `Orderly` gateway keeps the recorded order: it holds a reply or a turn back until what was recorded before it has
happened, and has a turn claimed again while its batch is not complete. It changes no payload; what fails has the
recorded stack trace.
The payloads that the host then sends are the recorded ones, character by character, times and generated ids apart.
What differs is listed: cases in `DIFFERENCES` and `PEER_DIFFERENCES`, single members in `recorded_cases.REWRITINGS`.

What azure-functions-durable 1.7.0 was sent is large, and lies beside the checkout where it is at all; it was recorded
from the same extension. The recordings of extension 2.13 (`e2_`) are not run: this host follows 3.19, which differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import contract
import pytest
from msgspec.structs import replace
from recorded_cases import (
    CHILD_COMPLETED,
    CHILD_FAILED,
    COMPLETED,
    FAILED,
    ORCHESTRATOR_STACK,
    RAISED,
    RESUMED,
    STARTED,
    SUSPENDED,
    TERMINATED,
    Case,
    Identities,
    Line,
    batch_of,
    clock_of,
    comparable,
    outcome_of,
    read_cases,
    rewritten,
    stack_of,
)
from recorded_services import Service, services
from running_host import APPS, Host, run_host

import worker_ext.host.scheduler
from worker_ext.host.gateway import FunctionKind, Reply, WorkerGateway, WorkerLostError
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import StaleTurnError, Store
from worker_ext.host.turns import TimerLimits

TESTS = Path(__file__).parents[1]
HISTORIES = TESTS / "histories"
FILES = [
    file
    for file in (*sorted((HISTORIES / "extension").glob("e3_*.jsonl")), *sorted(HISTORIES.glob("gen_*.jsonl")))
    if file.stem != "e3_http_api"
]
PEER_FILES = sorted((TESTS.parents[1] / "shared" / "golden").glob("sdk170_*.jsonl"))
API = "/runtime/webhooks/durabletask"
SHORT_TIMERS = TimerLimits(timedelta(seconds=2), timedelta(seconds=1))
_GUID_NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
# How long nothing may happen: in cases that are to differ, which wait for what does not come, and in all others.
STALLED_ON_PURPOSE, STALLED = 4.0, 15.0
# How many seconds a turn may come sooner after the one before it than was recorded: that is about what it then takes.
PACE_SLACK = 0.05

# Where this host sends something else: the cases, and why. Those of the kernel are told in test_kernel_recordings.py.
UNKNOWN = "a call of a function that does not exist fails its task; the recorded host let the instance hang"
DIFFERENCES = {
    "async_done_call": "the recorded entity gave no reply, and was not asked again; here that is repeated",
    "async_lock": "a timer that is due at once fires before an activity ends; the recorded host's came after it",
    "async_max": "the recorded host allowed 4 actions; this one has the default",
    "async_x_lock_nosync": "an instance that was not recorded held the lock",
    "async_x_lock_open_end": "an instance that was not recorded held the lock; here it comes as soon as the activity",
    "async_x_unknown": UNKNOWN,
    "long_cancel": "a timer that is past due takes an id also while a long timer is running",
    "x_retry_limit_all": "retry delays longer than the longest timer fail the instance instead of hanging it",
    "key_sub": "the file holds children of a second recording, whose parent it does not hold",
    "lock_unknown": "a lock of an entity that does not exist fails the instance instead of being passed over",
    "unk_activity": UNKNOWN,
    "unk_activity_nb": UNKNOWN,
    "unk_entity_call_nb": UNKNOWN,
    "broken_sub_unknown": UNKNOWN,
}

# Either may come first there, so that on a slow machine the order may be the recorded one.
RACES = {"async_x_lock_open_end"}

# The same of what 1.7.0 was sent.
NUMBERS = "a number stays as it was written; the recorded host writes it anew"
PEER_DIFFERENCES = {
    "broken_entity_unknown": UNKNOWN,
    "broken_value_curl_float": NUMBERS,
    "value_numbers": NUMBERS,
}

GROUPS = ["defaults", "short timers", "inputs kept", "an entity of another case"]
# Which members of payloads are rewritten in which group.
REWRITTEN = {
    "defaults": {"no frames", "another exception", "another name"},
    "short timers": {"no frames", "another name"},
}
PEER_REWRITTEN = {"defaults": {"no frames"}}
PEER_GROUPS = ["defaults", "short timers", "default version", "long history"]
DEFAULT_VERSION = "2.0"
beside_the_checkout = pytest.mark.skipif(
    not PEER_FILES, reason="the recordings of 1.7.0 do not lie beside this checkout"
)


class Director:
    """Keeps the order of one case, and tells what was seen of it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.position = 0
        self.changed = asyncio.Condition()
        self.is_over = False
        self.released: set[tuple[str, str, int]] = set()
        self.calls: dict[tuple[str, str], int] = defaultdict(int)
        self.seen: set[tuple[Any, ...]] = set()
        self.ready = 0
        self.clocks: dict[str, tuple[float, datetime]] = {}

    @property
    def line(self) -> Line | None:
        """What comes next."""
        lines = self.case.lines
        return lines[self.position] if self.position < len(lines) else None

    async def tell(self, ready: int) -> None:
        """So many events of the next line are there."""
        async with self.changed:
            self.ready = max(self.ready, ready)
            self.changed.notify_all()

    async def passed(self) -> None:
        """The next line was sent to the worker."""
        async with self.changed:
            assert self.line is not None
            if "history" in self.line.payload:
                self.clocks[self.line.key] = time.monotonic(), clock_of(self.line.payload)
            self.position += 1
            self.ready = 0
            self.changed.notify_all()

    async def end(self) -> None:
        async with self.changed:
            self.is_over = True
            self.changed.notify_all()

    async def until_next(self, line: Line | None) -> None:
        """Waits until a line is the next one; for what was not recorded there is nothing to wait for."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.is_over or line is None or self.line is line)
        if self.is_over:
            raise WorkerLostError("the recording is over")

    async def until_released(self, key: tuple[str, str, int], holder: str = "") -> None:
        """Waits until a task may end, or something else of its holder comes first."""
        async with self.changed:
            await self.changed.wait_for(
                lambda: self.is_over or key in self.released or (self.line is not None and self.line.key == holder)
            )
        if self.is_over:
            raise WorkerLostError("the recording is over")

    async def release(self, key: tuple[str, str, int]) -> None:
        async with self.changed:
            self.released.add(key)
            self.changed.notify_all()

    async def run(self, host: Host) -> None:
        """Brings about what was recorded, event by event, until the last line has passed."""
        while (line := self.line) is not None:
            here, done = self.position, 0
            await self.keep_pace(line)
            while self.position == here:
                if done < len(line.batch) and done <= self.ready:
                    await self.bring_about(host, line, line.batch[done])
                    done += 1
                    continue
                patience = STALLED_ON_PURPOSE if self.case.name in DIFFERENCES | PEER_DIFFERENCES else STALLED
                async with self.changed, asyncio.timeout(patience):
                    await self.changed.wait_for(
                        lambda: self.position != here or (done <= self.ready and done < len(line.batch))  # noqa: B023
                    )

    async def keep_pace(self, line: Line) -> None:
        """Waits as long as was recorded between two turns: timers count from one, due times from another."""
        if not self.case.sets_timers or "history" not in line.payload or line.key not in self.clocks:
            return
        began, recorded = self.clocks[line.key]
        left = (clock_of(line.payload) - recorded).total_seconds() - (time.monotonic() - began)
        with contextlib.suppress(TimeoutError):
            async with self.changed, asyncio.timeout(max(0.0, left - PACE_SLACK)):
                await self.changed.wait_for(lambda: self.line is not line)

    async def bring_about(self, host: Host, line: Line, event: dict[str, Any]) -> None:
        if "EventType" not in event:
            if self.case.is_signalled_from_outside and (line.key, event["id"]) not in self.seen:
                self.seen.add((line.key, event["id"]))
                name, key = line.payload["self"]["name"], quote(line.payload["self"]["key"])
                await send(host, f"entities/{name}/{key}?op={event['name']}", event["input"])
            return
        identity = (line.key, event["EventType"], event.get("Name"), event.get("Input"), event["Timestamp"])
        if event["EventType"] in {COMPLETED, FAILED, CHILD_COMPLETED, CHILD_FAILED}:
            await self.release((line.key, line.execution, event["TaskScheduledId"]))
        elif event["EventType"] == STARTED:
            is_first = not any(known[:2] == identity[:2] for known in self.seen)
            if is_first and event["ParentInstance"] is None:
                version = event["Version"]
                query = f"?version={version}" if version not in {None, "", DEFAULT_VERSION} else ""
                await send(host, f"orchestrators/{event['Name']}/{quote(line.key)}{query}", event["Input"])
        elif event["EventType"] == RAISED:
            if _GUID_NAME.fullmatch(event["Name"]):
                await self.release((line.key, event["Name"], -1))
            elif identity not in self.seen:
                await send(host, f"instances/{quote(line.key)}/raiseEvent/{quote(event['Name'])}", event["Input"])
        elif event["EventType"] in {TERMINATED, SUSPENDED, RESUMED}:
            verb = {TERMINATED: "terminate", SUSPENDED: "suspend", RESUMED: "resume"}[event["EventType"]]
            reason = event.get("Reason", event.get("Input"))
            await send(host, f"instances/{quote(line.key)}/{verb}?reason={quote(reason or '')}", None)
        self.seen.add(identity)


async def send(host: Host, path: str, body: str | None) -> None:
    headers = {} if body is None else {"Content-Type": "application/json"}
    answer = await host.post(f"{API}/{path}", None if body is None else body.encode(), headers)
    assert answer.status in {200, 202}, (path, answer)


@dataclass
class Orderly:
    """A gateway that lets things happen in the recorded order."""

    inner: WorkerGateway
    identities: Identities
    running: InitVar[list[Director]]
    directors: dict[str, Director] = field(init=False)
    by_line: dict[int, Director] = field(init=False)

    def __post_init__(self, running: list[Director]) -> None:
        self.directors = {line.key: director for director in running for line in director.case.lines}
        self.by_line = {id(line): director for director in running for line in director.case.lines}

    def function_names(self, kind: FunctionKind) -> Any:
        return self.inner.function_names(kind)

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        line = await self.keep_order(instance_id, payload)
        reply = await self.inner.run_orchestrator(name, instance_id, payload, trace_parent)
        return await self.hold(instance_id, line, payload, reply)

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        line = await self.keep_order(instance_id, payload)
        reply = await self.inner.run_entity(name, instance_id, payload, trace_parent)
        return await self.hold(instance_id, line, payload, reply)

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        key = self.identities.recorded(instance_id)
        director = self.directors[key]
        call = director.calls[key, name]
        director.calls[key, name] += 1
        tasks = director.case.activities.get((key, name), [])
        if call >= len(tasks) or (end := tasks[call].end) is None:
            await director.until_released((key, "never", -1))
            raise AssertionError("unreachable")
        reply = await self.inner.run_activity(name, instance_id, outcome_of(end, input_text), trace_parent)
        await director.until_released(tasks[call].key)
        return reply if reply.failure is None else replace(reply, stack=stack_of(end))

    async def keep_order(self, instance_id: str, text: str) -> Line | None:
        """Lets a turn through when it is the next; what was recorded of it, if anything was."""
        key = self.identities.recorded(instance_id)
        line, batch = self.identities.next_line(key), batch_of(json.loads(text))
        director = self.director_of(line) or self.directors.get(key)
        if director is None:
            return self.identities.accept(text)[1]
        is_generation = batch[0].get("EventType") == STARTED and self.identities.counts[key] > 0
        if line is not None and len(batch) < len(line.batch) and not is_generation:
            if director.line is line:
                await director.tell(len(batch))
            await asyncio.sleep(0.02)
            raise StaleTurnError("more was recorded of this batch")
        await director.until_next(line)
        self.identities.accept(text)
        if line is not None:
            await director.passed()
        return line

    def director_of(self, line: Line | None) -> Director | None:
        """The director of a line: several cases may have to do with one entity, one after the other."""
        return None if line is None else self.by_line[id(line)]

    async def hold(self, instance_id: str, line: Line | None, text: str, reply: Reply) -> Reply:
        """Holds a reply until those that are told of it may be told so."""
        key = self.identities.recorded(instance_id)
        for task in self.identities.told(key, line, text):
            if task.end is not None:
                await self.directors[task.key[0]].until_released(task.key, key)
                break
        return reply if reply.failure is None else replace(reply, stack=ORCHESTRATOR_STACK)


@dataclass
class Result:
    """What came of a group of cases.

    Attributes:
        compared: How many payloads were recorded.
        equal: How many of them were sent.
        rewritten: In how many of those something was rewritten, by its name.
        differences: The cases that differ, and where first.
    """

    compared: int = 0
    equal: int = 0
    rewritten: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    differences: dict[str, str] = field(default_factory=dict)

    def amended(self, cases: list[Case], again: Result) -> Result:
        """This result, with that of cases that were run once more in the place of theirs."""
        names = {case.name for case in cases}
        kept = {name: text for name, text in self.differences.items() if name not in names}
        return Result(self.compared, self.equal, self.rewritten, kept | again.differences)


async def replay(cases: list[Case], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Runs cases side by side on one host, and compares what their functions were sent."""
    identities = Identities(cases)
    directors = [Director(case) for case in cases]
    limits = SHORT_TIMERS if is_short(cases[0]) else TimerLimits()

    class OrderlyScheduler(Scheduler):
        def __init__(self, store: Store, gateway: WorkerGateway, settings: DurableSettings) -> None:
            super().__init__(store, Orderly(gateway, identities, directors), settings, limits)

    notes = await asyncio.to_thread(prepare, folder)
    monkeypatch.setattr(worker_ext.host.scheduler, "Scheduler", OrderlyScheduler)
    monkeypatch.setenv("REPLAYED_TESTS", str(TESTS))
    monkeypatch.setenv("REPLAYED_FILES", json.dumps(files_of(cases)))
    monkeypatch.setenv("REPLAYED_CASES", json.dumps([[case.file, case.name] for case in cases]))
    monkeypatch.setenv("REPLAYED_NOTES", str(notes))
    if has_default_version(cases[0]):
        monkeypatch.setenv("AzureFunctionsJobHost__extensions__durableTask__defaultVersion", DEFAULT_VERSION)
    keeping = "true" if keeps_inputs(cases[0]) else "false"
    monkeypatch.setenv("AzureFunctionsJobHost__extensions__durableTask__storeInputsInOrchestrationHistory", keeping)
    async with services(directors) as running, run_replayed(directors, running, monkeypatch) as host:
        places = asyncio.Semaphore(12)
        # Cases that have to do with one entity are run one after the other, as they were recorded.
        entities: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

        async def run(director: Director) -> None:
            async with contextlib.AsyncExitStack() as stack:
                for entity in sorted(director.case.entities):
                    await stack.enter_async_context(entities[entity])
                await stack.enter_async_context(places)
                with contextlib.suppress(TimeoutError):  # what it lacks is found by the comparison
                    await director.run(host)

        await asyncio.gather(*map(run, directors))
        await asyncio.gather(*(director.end() for director in directors))
    faults = [fault for found in running.values() for service in found for fault in service.faults]
    assert faults == []
    addresses = {service.url: service.origin for found in running.values() for service in found}
    return compare(cases, notes, addresses)


@contextlib.asynccontextmanager
async def run_replayed(
    directors: list[Director], running: dict[str, list[Service]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Host]:
    """Runs the app; it calls the services where they are."""
    addresses = {
        line.key: {service.origin: service.url for service in running[director.case.name]}
        for director in directors
        for line in director.case.lines
        if director.case.name in running
    }
    monkeypatch.setenv("REPLAYED_ADDRESSES", json.dumps(addresses))
    async with run_host(APPS / "replayed") as host:
        yield host


def files_of(cases: list[Case]) -> list[str]:
    """The files that hold cases."""
    stems = {case.file for case in cases}
    return [str(file) for file in (*FILES, *PEER_FILES) if file.stem in stems]


def prepare(folder: Path) -> Path:
    """An empty file for the app's notes."""
    folder.mkdir()
    notes = folder / "notes.jsonl"
    notes.touch()
    return notes


def compare(cases: list[Case], notes: Path, addresses: dict[str, str]) -> Result:
    sent = defaultdict(list)
    for record in map(json.loads, notes.read_text(encoding="utf-8").splitlines()):
        payload = record["payload"]
        for address, recorded in addresses.items():
            payload = payload.replace(address, recorded)
        sent[record["key"]].append(payload)
    result = Result()
    last = {line.key: case for case in cases for line in case.lines}
    for case in cases:
        expected = defaultdict(list)
        for line in case.lines:
            expected[line.key].append(line.text)
        for key, texts in expected.items():
            # An entity that several cases have to do with is sent the payloads of one after the other.
            count = len(sent[key]) if last[key] is case else len(texts)
            found, sent[key] = sent[key][:count], sent[key][count:]
            used: list[set[str]] = [set() for _ in texts]
            ours = map(rewritten, texts, used)
            pairs = [(comparable(one), comparable(other)) for one, other in zip(ours, found, strict=False)]
            for names in used:
                for name in names:
                    result.rewritten[name] += 1
            result.compared += len(texts)
            result.equal += sum(one == other for one, other in pairs)
            unlike = [number for number, (one, other) in enumerate(pairs) if one != other]
            if unlike or len(texts) != len(found):
                first = pairs[unlike[0]] if unlike else ("", "")
                where = next(
                    (unlike_part(a, b) for a, b in zip(*map(str.splitlines, first), strict=False) if a != b), ""
                )
                result.differences.setdefault(case.name, f"{key}: {len(found)} of {len(texts)}; {unlike} {where}")
    return result


def unlike_part(one: str, other: str) -> str:
    """Where two texts part."""
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    return f"{one[max(0, at - 60) : at + 100]!r} / {other[max(0, at - 60) : at + 100]!r}"


def is_short(case: Case) -> bool:
    return any(line.payload.get("maximumShortTimerDuration") == "00:00:02" for line in case.lines)


def has_default_version(case: Case) -> bool:
    return case.file == "sdk170_versions"


def keeps_inputs(case: Case) -> bool:
    return case.file == "e3_storeinputs_chain"


@pytest.fixture(autouse=True)
def keeps_to_the_contract() -> Iterator[None]:
    """Recorded replies that break the contract do so on purpose: their faults are taken note of and dropped."""
    yield
    contract.take_faults()


def cases_of(group: str, files: list[Path]) -> list[Case]:
    """The cases that can share a host."""
    return [case for case in read_cases(files) if group_of(case) == group]


def group_of(case: Case) -> str:
    if is_short(case):
        return "short timers"
    if has_default_version(case):
        return "default version"
    if case.file == "sdk170_long_history":
        return "long history"
    if case.name == "http_entity":
        return "an entity of another case"
    return "inputs kept" if keeps_inputs(case) else "defaults"


def with_neighbours(cases: list[Case], names: set[str]) -> list[Case]:
    """The cases of these names, and those whose entities they have to do with too."""
    entities = {entity for case in cases if case.name in names for entity in case.entities}
    return [case for case in cases if case.name in names or case.entities & entities]


async def check(cases: list[Case], expected: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Replays cases: those that are told to differ do, all others do not."""
    result = await replay(cases, folder / "all", monkeypatch)
    # A timer of a few hundredths of a second may come late on a busy machine: what is not to differ is run again.
    for number in range(3):
        again = with_neighbours(cases, {name for name in result.differences if name not in expected})
        if again:
            result = result.amended(again, await replay(again, folder / f"again{number}", monkeypatch))
    others = {name: text for name, text in result.differences.items() if name not in expected}
    assert others == {}
    assert set(expected) & {case.name for case in cases} - set(result.differences) <= RACES
    assert result.equal > 0.85 * result.compared
    return result


@pytest.mark.parametrize("group", GROUPS)
async def test_the_payloads_are_the_recorded_ones(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = await check(cases_of(group, FILES), DIFFERENCES, tmp_path, monkeypatch)
    assert set(result.rewritten) == REWRITTEN.get(group, set())


def test_every_recorded_case_is_run() -> None:
    cases = read_cases(FILES)
    assert {case.name for case in cases} >= set(DIFFERENCES)
    assert sum(len(cases_of(group, FILES)) for group in GROUPS) == len(cases)


@beside_the_checkout
@pytest.mark.parametrize("group", PEER_GROUPS)
async def test_the_payloads_are_those_that_1_7_0_was_sent(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await check(cases_of(group, PEER_FILES), PEER_DIFFERENCES, tmp_path, monkeypatch)
    assert set(result.rewritten) == PEER_REWRITTEN.get(group, set())


@beside_the_checkout
def test_every_case_of_1_7_0_is_run() -> None:
    cases = read_cases(PEER_FILES)
    assert {case.name for case in cases} >= set(PEER_DIFFERENCES)
    assert sum(len(cases_of(group, PEER_FILES)) for group in PEER_GROUPS) == len(cases)
