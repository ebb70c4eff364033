"""Tools for testing orchestrators without a host: histories made by hand, replayed by the real engine.

history = HistoryBuilder().started("Ship", {"n": 1}).scheduled("Pack", 0).batch().completed(0, "packed")
turn = replay(ship, history)
assert turn.output == "packed"
"""

from worker_ext.testing.generators import orchestrator_generator_wrapper
from worker_ext.testing.histories import HistoryBuilder
from worker_ext.testing.replays import Turn, replay

__all__ = ["HistoryBuilder", "Turn", "orchestrator_generator_wrapper", "replay"]
