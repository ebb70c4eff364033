"""What an orchestrator calls by name or by reference: activities and sub-orchestrations, once or with retries.

The context inherits these methods; each makes one action and one task. Where a decorated function is passed, type
checkers know its input and its result: there is one overload for each way in which such a function may be written.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, TypeAlias, TypeVar, overload

from worker_ext import payloads
from worker_ext.arguments import expect
from worker_ext.calls import Calls
from worker_ext.engine.retries import PolicyRetryTask, RetryOptions, RetryTask
from worker_ext.engine.tasks import Leaf, Task, leaf_for
from worker_ext.protocol import actions
from worker_ext.references import FunctionRef, name_of

In = TypeVar("In")
Y = TypeVar("Y")
S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from worker_ext.context import DurableOrchestrationContext

    Activity: TypeAlias = Callable[Concatenate[In, ...], R]
    AsyncActivity: TypeAlias = Callable[Concatenate[In, ...], Coroutine[Any, Any, R]]
    Orchestrator: TypeAlias = Callable[[DurableOrchestrationContext[In]], R]
    AsyncOrchestrator: TypeAlias = Callable[[DurableOrchestrationContext[In]], Coroutine[Any, Any, R]]
    GeneratorOrchestrator: TypeAlias = Callable[[DurableOrchestrationContext[In]], Generator[Y, S, R]]


class FunctionCalls(Calls):
    """Calls of functions of the app."""

    # -- activities --------------------------------------------------------------------------------------------------

    @overload
    def call_activity(self, name: AsyncActivity[In, R], input_: In, expected_type: None = None) -> Task[R]: ...
    @overload
    def call_activity(self, name: Activity[In, R], input_: In, expected_type: None = None) -> Task[R]: ...
    @overload
    def call_activity(
        self, name: AsyncActivity[None, R], input_: None = None, expected_type: None = None
    ) -> Task[R]: ...
    @overload
    def call_activity(self, name: Activity[None, R], input_: None = None, expected_type: None = None) -> Task[R]: ...
    @overload
    def call_activity(self, name: str, input_: Any = None, expected_type: None = None) -> Task: ...
    @overload
    def call_activity(self, name: str | Activity[In, Any], input_: In, expected_type: TypeForm[T]) -> Task[T]: ...
    @overload
    def call_activity(
        self, name: str | Activity[None, Any], input_: None = None, *, expected_type: TypeForm[T]
    ) -> Task[T]: ...
    def call_activity(self, name: FunctionRef, input_: Any = None, expected_type: Any = None) -> Task:
        """Runs an activity; the task gives its result.

        Args:
            name: The activity's name, or the decorated function.
            input_: Its input, any JSON value or an object with `to_json`.
            expected_type: The type to read its result as; by default the one that a decorated function says it returns.

        Raises:
            ValueError: The name is empty, or what was passed is no activity.
        """
        if expected_type is None and isinstance(name, str) and name and self._is_plain:
            action = actions.CallActivity(function_name=name, input=self._encode(input_))
            return Leaf(self._schedule, action, name)
        action = self._activity(name, input_)
        return leaf_for(self._schedule, action, action.function_name, self._decoder(name, expected_type))

    @overload
    def call_activity_with_retry(
        self, name: AsyncActivity[In, R], retry_options: RetryOptions, input_: In, expected_type: None = None
    ) -> Task[R]: ...
    @overload
    def call_activity_with_retry(
        self, name: Activity[In, R], retry_options: RetryOptions, input_: In, expected_type: None = None
    ) -> Task[R]: ...
    @overload
    def call_activity_with_retry(
        self, name: AsyncActivity[None, R], retry_options: RetryOptions, input_: None = None, expected_type: None = None
    ) -> Task[R]: ...
    @overload
    def call_activity_with_retry(
        self, name: Activity[None, R], retry_options: RetryOptions, input_: None = None, expected_type: None = None
    ) -> Task[R]: ...
    @overload
    def call_activity_with_retry(
        self, name: str, retry_options: RetryOptions, input_: Any = None, expected_type: None = None
    ) -> Task: ...
    @overload
    def call_activity_with_retry(
        self, name: str | Activity[In, Any], retry_options: RetryOptions, input_: In, expected_type: TypeForm[T]
    ) -> Task[T]: ...
    @overload
    def call_activity_with_retry(
        self,
        name: str | Activity[None, Any],
        retry_options: RetryOptions,
        input_: None = None,
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    def call_activity_with_retry(
        self, name: FunctionRef, retry_options: RetryOptions, input_: Any = None, expected_type: Any = None
    ) -> Task:
        """Runs an activity, again when it fails; the task fails with the last attempt."""
        attempt = self._activity(name, input_)
        return self._repeated("call_activity_with_retry", attempt, retry_options, self._decoder(name, expected_type))

    def _activity(self, name: FunctionRef, input_: Any) -> actions.CallActivity:
        return actions.CallActivity(function_name=name_of(name, "activity"), input=self._encode(input_))

    # -- sub-orchestrations ------------------------------------------------------------------------------------------

    @overload
    def call_sub_orchestrator(
        self,
        name: GeneratorOrchestrator[In, Y, S, R],
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: AsyncOrchestrator[In, R],
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: Orchestrator[In, R],
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: GeneratorOrchestrator[None, Y, S, R],
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: AsyncOrchestrator[None, R],
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: Orchestrator[None, R],
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: str,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: str | Orchestrator[In, Any],
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    @overload
    def call_sub_orchestrator(
        self,
        name: str | Orchestrator[None, Any],
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    def call_sub_orchestrator(
        self,
        name: FunctionRef,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
    ) -> Task:
        """Starts a child orchestration; the task gives its output.

        Args:
            name: The orchestrator's name, or the decorated function.
            input_: Its input, any JSON value.
            instance_id: The child's ID; made by the host where it is None.
            version: The child's version; the host's default where it is None.
            expected_type: The type to read its output as; by default the one that a decorated function says it returns.

        Raises:
            ValueError: The name is empty, or what was passed is no orchestrator.
        """
        action = self._child(name, input_, instance_id, version)
        return leaf_for(self._schedule, action, action.function_name, self._decoder(name, expected_type))

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: GeneratorOrchestrator[In, Y, S, R],
        retry_options: RetryOptions,
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: AsyncOrchestrator[In, R],
        retry_options: RetryOptions,
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: Orchestrator[In, R],
        retry_options: RetryOptions,
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: GeneratorOrchestrator[None, Y, S, R],
        retry_options: RetryOptions,
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: AsyncOrchestrator[None, R],
        retry_options: RetryOptions,
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: Orchestrator[None, R],
        retry_options: RetryOptions,
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task[R]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> Task: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str | Orchestrator[In, Any],
        retry_options: RetryOptions,
        input_: In,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str | Orchestrator[None, Any],
        retry_options: RetryOptions,
        input_: None = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    def call_sub_orchestrator_with_retry(
        self,
        name: FunctionRef,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: Any = None,
    ) -> Task:
        """Starts a child orchestration, again when it fails; the task fails with the last attempt."""
        attempt = self._child(name, input_, instance_id, version)
        return self._repeated(
            "call_sub_orchestrator_with_retry", attempt, retry_options, self._decoder(name, expected_type)
        )

    def _child(
        self, name: FunctionRef, input_: Any, instance_id: str | int | None, version: str | None
    ) -> actions.CallSubOrchestrator:
        text = self._encode(input_)
        if isinstance(instance_id, int):  # which the host reads as text
            instance_id = str(instance_id)
        elif instance_id is not None:
            expect("call_sub_orchestrator", "instance_id", instance_id, str)
        return actions.CallSubOrchestrator(
            function_name=name_of(name, "orchestration"), input=text, instance_id=instance_id, version=version
        )

    # -- what both have in common ------------------------------------------------------------------------------------

    def _repeated(
        self,
        method: str,
        attempt: actions.CallActivity | actions.CallSubOrchestrator,
        options: RetryOptions,
        decode: payloads.Decoder | None,
    ) -> Task:
        """A call that is repeated: by the host where it can, by leaves of the worker's own where it cannot."""
        expect(method, "retry_options", options, RetryOptions)
        if options.needs_worker or self._schedule.loop is not None:
            return PolicyRetryTask(self._schedule, options, attempt, decode)
        return RetryTask(self._schedule, options, actions.with_retry(attempt, options.wire), attempt, decode)

    def _decoder(self, name: FunctionRef, expected_type: Any) -> payloads.Decoder | None:
        if expected_type is None and not isinstance(name, str):
            expected_type = payloads.returned_type(name)
        return self._payloads.decoder(expected_type, is_checked=self._is_checked)
