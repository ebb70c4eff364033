"""Limits that all instances of an app share: so many at a time, or so many in a period.

    app.register_functions(limits.entities())  # once in the app

    async with limits.semaphore(context, "gpu", 2):
        await context.call_activity("Render", scene)

    await limits.rate_limit(context, "mail", 100, timedelta(minutes=1))
    await context.call_activity("Send", letter)

In a generator:

    with (yield from limits.semaphore(context, "gpu", 2).acquire()):
        yield context.call_activity("Render", scene)

    yield from limits.rate_limit(context, "mail", 100, timedelta(minutes=1))

Each limit is an entity of its name, which keeps a line of those that wait. They are told when to ask again and wait
with a durable timer; whoever came first goes first. Whoever does not ask in time (it was terminated, or its host is
slow) is passed over, and keeps its place for ten minutes. All who use a limit have to name the same numbers.

A permit of a semaphore is a lease: when it is over the permit is given to the next in line, so that a holder that was
terminated blocks nobody for ever. Make the lease longer than the work takes, or renew it. Neither may be waited for
inside of a critical section, where no other entity may be called.

The clock is the one of the host that runs the entity.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from worker_ext.arguments import expect
from worker_ext.entity_class import DurableEntity, operation
from worker_ext.flow import Flow, of_steps
from worker_ext.protocol.actions import SignalEntity

if TYPE_CHECKING:
    from worker_ext.context import DurableOrchestrationContext
    from worker_ext.decorators import Blueprint

__all__ = ["DurableRateLimiter", "DurableSemaphore", "Permit", "Semaphore", "entities", "rate_limit", "semaphore"]

SLACK = 5.0
"""How many seconds late somebody in line may ask before others pass."""

PATIENCE = 600.0
"""After how many seconds somebody who has not asked again is forgotten."""

SHORTEST = 0.1
"""The least number of seconds that somebody is asked to wait."""


@dataclass
class Place:
    """A place in line; times are seconds since 1970.

    Attributes:
        token: Who has it.
        since: When they came.
        due: When they will ask again.
    """

    token: str
    since: float
    due: float


@dataclass
class Admission:
    """What somebody who asks is told.

    Attributes:
        is_granted: Whether it is their turn.
        wait: Otherwise, in how many seconds to ask again.
    """

    is_granted: bool
    wait: float = 0.0


@dataclass
class Line:
    """Those who wait, in the order in which they came."""

    places: list[Place] = field(default_factory=list)

    def place(self, token: str, now: float) -> Place:
        """The place of somebody, at the end if they have none; who has not asked for long loses theirs."""
        self.places = [place for place in self.places if place.token == token or now - place.due < PATIENCE]
        for place in self.places:
            if place.token == token:
                return place
        self.places.append(Place(token, now, now))
        return self.places[-1]

    def ahead_of(self, mine: Place, now: float) -> int:
        """How many are ahead who are not late."""
        before = self.places[: self.places.index(mine)]
        return sum(now - place.due <= SLACK for place in before)

    def leave(self, token: str) -> None:
        """Takes somebody out."""
        self.places = [place for place in self.places if place.token != token]


@dataclass
class DurableSemaphore(DurableEntity):
    """The entity of a semaphore.

    Attributes:
        leases: When the lease of each holder ends, in seconds since 1970.
        line: Those who wait.
    """

    leases: dict[str, float] = field(default_factory=dict)
    line: Line = field(default_factory=Line)

    @operation
    def acquire(self, token: str, limit: int, lease: float, longest_wait: float) -> Admission:
        """Asks for a permit; durations are seconds."""
        now = time.time()
        self.leases = {holder: end for holder, end in self.leases.items() if end > now}
        mine = self.line.place(token, now)
        ahead = self.line.ahead_of(mine, now)
        if token in self.leases or ahead < limit - len(self.leases):
            self.leases[token] = now + lease
            self.line.leave(token)
            return Admission(True)
        wait = min(longest_wait, (now - mine.since) / 4)
        if ahead < limit:  # then it may well be the end of a lease that makes room
            wait = min(wait, min(self.leases.values(), default=now) - now)
        mine.due = now + max(wait, SHORTEST)
        return Admission(False, mine.due - now)

    @operation
    def renew(self, token: str, lease: float) -> bool:
        """Begins a lease anew; false when it was over."""
        now = time.time()
        if self.leases.get(token, 0.0) <= now:
            return False
        self.leases[token] = now + lease
        return True

    @operation
    def release(self, token: str) -> None:
        """Gives a permit back, or a place in line up."""
        self.leases.pop(token, None)
        self.line.leave(token)


@dataclass
class DurableRateLimiter(DurableEntity):
    """The entity of a rate limit.

    Attributes:
        granted: When the last permits were given, oldest first, in seconds since 1970.
        line: Those who wait.
    """

    granted: list[float] = field(default_factory=list)
    line: Line = field(default_factory=Line)

    @operation
    def acquire(self, token: str, permits: int, period: float) -> Admission:
        """Asks for a permit; the period is in seconds."""
        now = time.time()
        self.granted = [then for then in self.granted if now - then < period]
        mine = self.line.place(token, now)
        short = self.line.ahead_of(mine, now) + 1 - (permits - len(self.granted))
        if short <= 0:
            self.granted.append(now)
            self.line.leave(token)
            return Admission(True)
        mine.due = max(self._next(short, permits, period, now), now + SHORTEST)
        return Admission(False, mine.due - now)

    def _next(self, short: int, permits: int, period: float, now: float) -> float:
        """When so many more permits will have become free, if all who are ahead take theirs at once."""
        rounds, index = divmod(short - 1, permits)
        begun = self.granted[index] if index < len(self.granted) else now
        return begun + period * (rounds + 1)

    @operation
    def release(self, token: str) -> None:
        """Gives a place in line up."""
        self.line.leave(token)


def entities() -> Blueprint:
    """The entities that keep the limits, for `app.register_functions`."""
    from worker_ext.decorators import Blueprint

    blueprint = Blueprint()
    blueprint.entity_trigger()(DurableSemaphore)
    blueprint.entity_trigger()(DurableRateLimiter)
    return blueprint


# ---------------------------------------------------------------- in orchestrators


class Permit:
    """A permit of a semaphore. Use it in a `with` block, or release it."""

    def __init__(self, context: DurableOrchestrationContext, name: str, token: str, lease: timedelta) -> None:
        self._context = context
        self._entity = context.entity(DurableSemaphore, name)
        self._token = token
        self._lease = lease

    def release(self) -> None:
        """Gives it back, also after `continue_as_new`; a second time does nothing."""
        executor = self._context.executor
        if executor.is_running or executor.is_leaving:  # else the code is only let go until the next turn
            instance_id = str(self._entity.entity_id)
            released = SignalEntity(instance_id=instance_id, operation="release", input=executor.encode(self._token))
            executor.signal(released, closes_generation=True)

    def renew(self) -> Any:
        """Begins the lease anew; a task that gives False when it was over, and others may have got the permit."""
        return self._entity.renew(self._token, self._lease.total_seconds())

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Semaphore:
    """A semaphore as an orchestrator sees it: `async with` it, or `acquire()` permits of it."""

    def __init__(
        self, context: DurableOrchestrationContext, name: str, limit: int, lease: timedelta, longest_wait: timedelta
    ) -> None:
        self._context = context
        self._name = name
        self._limit = limit
        self._lease = lease
        self._longest_wait = longest_wait
        self._held: dict[asyncio.Task[Any] | None, list[Permit]] = {}

    def acquire(self) -> Flow[Permit]:
        """Waits for a permit; awaited, or with `yield from`."""
        return of_steps(self._acquire)

    def _acquire(self) -> Generator[Any, Any, Permit]:
        token = self._context.new_uuid()
        entity = self._context.entity(DurableSemaphore, self._name)
        lease, longest = self._lease.total_seconds(), self._longest_wait.total_seconds()
        yield from _admitted(self._context, entity, token, lambda: entity.acquire(token, self._limit, lease, longest))
        return Permit(self._context, self._name, token, self._lease)

    async def __aenter__(self) -> Permit:
        permit = await self.acquire()
        self._held.setdefault(asyncio.current_task(), []).append(permit)
        return permit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        owner = task if task in self._held else next(iter(self._held))  # it may be left by another than entered it
        permits = self._held[owner]
        permits.pop().release()
        if not permits:
            del self._held[owner]


def semaphore(
    context: DurableOrchestrationContext,
    name: str,
    limit: int,
    *,
    lease: timedelta = timedelta(hours=1),
    longest_wait: timedelta = timedelta(seconds=30),
) -> Semaphore:
    """A semaphore that all instances share: no more than so many permits are held at a time.

    Args:
        context: The orchestrator's context.
        name: What is limited; all who use this name share the permits.
        limit: How many permits there are.
        lease: After what time a permit that was not released is given to the next in line.
        longest_wait: How long somebody in line may wait until they ask again. They ask often at first, then every
            quarter of the time that they have waited, up to this.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: The name is empty, or the limit or a duration not positive.
    """
    _check("semaphore", name, limit=limit, lease=lease, longest_wait=longest_wait)
    return Semaphore(context, name, limit, lease, longest_wait)


def rate_limit(context: DurableOrchestrationContext, name: str, permits: int, period: timedelta) -> Flow[None]:
    """Waits until it may go on: no more than so many do in any period of this length, whatever their instance.

    Args:
        context: The orchestrator's context.
        name: What is limited; all who use this name share the permits.
        permits: How many may go on in a period.
        period: The period.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: The name is empty, or the number of permits or the period not positive.
    """
    _check("rate_limit", name, permits=permits, period=period)

    def steps() -> Generator[Any, Any, None]:
        token = context.new_uuid()
        entity = context.entity(DurableRateLimiter, name)
        yield from _admitted(context, entity, token, lambda: entity.acquire(token, permits, period.total_seconds()))

    return of_steps(steps)


def _check(call: str, name: str, **numbers: int | timedelta) -> None:
    expect(call, "name", name, str)
    if not name:
        raise ValueError(f"{call} was given an empty name; what it limits needs one")
    for argument, number in numbers.items():
        expect(call, argument, number, _KINDS[argument])
        if (number.total_seconds() if isinstance(number, timedelta) else number) <= 0:
            raise ValueError(f"{call} was given {argument}={number}; expected more than nothing")


_KINDS = {"limit": int, "permits": int, "lease": timedelta, "longest_wait": timedelta, "period": timedelta}


def _admitted(context: DurableOrchestrationContext, entity: Any, token: str, ask: Any) -> Generator[Any, Any, None]:
    """Asks until it is granted, and gives the place in line up if that is not waited for any more."""
    try:
        while not (admission := (yield ask())).is_granted:
            yield context.create_timer(timedelta(seconds=admission.wait))
    except asyncio.CancelledError:
        if context.executor.is_running:
            entity.signal.release(token)
        raise
