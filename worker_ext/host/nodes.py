"""What has become of an action that was started: the tree whose leaves are completed by events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from worker_ext.host.decisions import SendRequest
from worker_ext.protocol.actions import CallActivityWithRetry, CallSubOrchestratorWithRetry, RetryOptions


class Node:
    """A started action. A group counts the members it still needs."""

    __slots__ = ("done", "needed", "parent")

    def __init__(self, needed: int = 0, done: bool = False) -> None:
        self.done = done
        self.parent: Node | None = None
        self.needed = needed

    def finish(self) -> None:
        """Completes this node, and every group that waited for it."""
        node: Node | None = self
        while node is not None and not node.done:
            node.done = True
            node = node.parent
            if node is None:
                return
            node.needed -= 1
            if node.needed > 0:
                return


class Repeated(Node):
    """What is attempted again when it fails: the attempt that runs, or the delay before the next one.

    Attributes:
        options: How it is repeated; None, not at all.
        attempt: Which attempt it is, from 1.
        first_at: The orchestrator's time at the first one.
        exhausted: The last attempt has failed; only a timer is left.
    """

    __slots__ = ("attempt", "exhausted", "first_at", "options")

    def __init__(self, options: RetryOptions | None, first_at: str) -> None:
        super().__init__()
        self.options = options
        self.attempt = 1
        self.exhausted = False
        self.first_at = first_at


class Retried(Repeated):
    """An activity or child with retries."""

    __slots__ = ("action",)

    def __init__(self, action: CallActivityWithRetry | CallSubOrchestratorWithRetry, first_at: str) -> None:
        super().__init__(action.retry_options, first_at)
        self.action = action


class HttpCall(Repeated):
    """A durable HTTP request, or the wait before its next poll, which is not repeated."""

    __slots__ = ("request",)

    def __init__(self, request: dict[str, Any], options: RetryOptions | None, first_at: str) -> None:
        super().__init__(options, first_at)
        self.request = request


class EntityWait(Node):
    """A call of an entity, or a lock request, that waits for its answer."""

    __slots__ = ("request",)

    def __init__(self, request: SendRequest) -> None:
        super().__init__()
        self.request = request


class LongTimer(Node):
    """A timer in pieces."""

    __slots__ = ("fire_at",)

    def __init__(self, fire_at: datetime) -> None:
        super().__init__()
        self.fire_at = fire_at
