"""Contenders that take turns within a round, as ratios to their floor of the same round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .floors import Run, repeats_of, seconds_of
from .peers import NAME, Peer, PeerError
from .report import Row

FLOOR = "floor"
UNITS = {"ms": 1e3, "us": 1e6}
"""How many of them a second has."""


def compare(
    measure: str, unit: str, contenders: Mapping[str, Run], payload: str, rounds: int, peer: Peer | PeerError
) -> Iterator[Row]:
    """Rows of the contenders, the first of which is the floor, and of the peer, which is prepared for the same."""
    timers = {who: _timer(run, payload) for who, run in contenders.items()}
    floors = dict.fromkeys(timers, FLOOR)
    if isinstance(peer, Peer):
        timers |= {peer.floor_name: peer.floor_seconds, NAME: peer.seconds}
        floors |= {peer.floor_name: peer.floor_name, NAME: peer.floor_name}
    seconds: dict[str, list[float]] = {who: [] for who in timers}
    for _ in range(rounds):
        try:
            for who, timer in timers.items():
                seconds[who].append(timer())
        except PeerError as reason:
            # Only the peer's own process raises it, and it comes last in a round: the others go on.
            peer = reason
            timers = {who: timers[who] for who in contenders}
            floors = dict.fromkeys(contenders, FLOOR)
    for who, floor in floors.items():
        if who == floor:
            yield Row.of(measure, who, unit, [value * UNITS[unit] for value in seconds[who]])
        else:
            pairs = zip(seconds[who], seconds[floor], strict=True)
            yield Row.of(measure, who, f"x {FLOOR}", [value / least for value, least in pairs])
    if isinstance(peer, PeerError):
        yield Row.missing(measure, NAME, str(peer))


def _timer(run: Run, payload: str) -> Callable[[], float]:
    repeats = repeats_of(run, payload)
    return lambda: seconds_of(run, payload, repeats)
