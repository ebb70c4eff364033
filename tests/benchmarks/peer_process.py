"""azure-functions-durable 2 in a Python of its own: measures itself and the floor there, on command.

Commands and answers are lines of JSON. `{"workload": name, "n": count}` prepares one, and checks that the peer runs it
to its end; `{"run": "peer"}` and `{"run": "floor"}` then answer with the seconds that one run took. Where the peer
cannot do it, the answer is `{"error": text}`.

Version 2 speaks protobuf, in base64, so it is given the same events as the others in that form; its ids start at 1, and
what came since the last start of the orchestrator is the new part. Its reply holds the new actions only. The floor is
the one of all, on the JSON payload.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .floors import (
    ACTIVITY,
    ACTIVITY_INPUT,
    ENTITY,
    Run,
    activity_floor,
    counter,
    entity_batch,
    entity_floor,
    pack,
    repeats_of,
    replay_floor,
    seconds_of,
)
from .payloads import JSON, SHAPES, Shape

pb: Any = importlib.import_module("durabletask.internal.orchestrator_service_pb2")
timestamps: Any = importlib.import_module("google.protobuf.timestamp_pb2")
wrappers: Any = importlib.import_module("google.protobuf.wrappers_pb2")
durable: Any = importlib.import_module("azure.durable_functions")
durable_worker: Any = importlib.import_module("azure.durable_functions.worker")
codec: Any = importlib.import_module("azure.functions._durable_functions")
COMPLETED: int = pb.ORCHESTRATION_STATUS_COMPLETED


def main() -> None:
    """Answers commands until there are no more."""
    contenders: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "workload" in command:
                contenders = _prepare(command["workload"], command["n"])
                answer: JSON = {"ready": True}
            else:
                answer = {"seconds": contenders[command["run"]]()}
        except Exception as error:  # noqa: BLE001 - what fails is the peer's own; the other side says it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def _prepare(workload: str, n: int) -> dict[str, Callable[[], float]]:
    if workload == ENTITY:
        payload = json.dumps(entity_batch(n), indent=2)
        return {"floor": _timed(entity_floor, payload), "peer": _timed(_entity(n), _batch(n))}
    if workload == ACTIVITY:
        return {"floor": _timed(activity_floor, ACTIVITY_INPUT), "peer": _timed(_activity(), ACTIVITY_INPUT)}
    [shape] = [shape for shape in SHAPES if shape.name == workload]
    orchestrator: Callable[[str], str] = durable.Orchestrator.create(shape.orchestrator)
    turn = _turn(shape, n)
    _check_turn(orchestrator(turn), n)
    return {"floor": _timed(replay_floor(shape), shape.payload(n)), "peer": _timed(orchestrator, turn)}


def _timed(run: Run, payload: str) -> Callable[[], float]:
    repeats = repeats_of(run, payload)
    return lambda: seconds_of(run, payload, repeats)


# ---------------------------------------------------------------- orchestrations


def _turn(shape: Shape, n: int) -> str:
    events = [_event(event) for event in shape.history(n)]
    last = max(i for i, event in enumerate(events) if event.HasField("orchestratorStarted"))
    return _text(pb.OrchestratorRequest(instanceId="benchmark", pastEvents=events[:last], newEvents=events[last:]))


def _event(event: JSON) -> Any:
    event_id = event["EventId"]
    [(field, value)] = _facts(event)
    head = {"eventId": event_id + 1 if event_id >= 0 else -1, "timestamp": _time(event["Timestamp"])}
    return pb.HistoryEvent(**head, **{field: value})


def _facts(event: JSON) -> Iterator[tuple[str, Any]]:
    match event["EventType"]:
        case 0:
            instance = pb.OrchestrationInstance(instanceId=event["OrchestrationInstance"]["InstanceId"])
            # The JSON payload has the input a second time, decoded once.
            text = _nullable(json.loads(event["Input"]))
            yield (
                "executionStarted",
                pb.ExecutionStartedEvent(name=event["Name"], input=text, orchestrationInstance=instance),
            )
        case 4:
            yield "taskScheduled", pb.TaskScheduledEvent(name=event["Name"], input=_nullable(event["Input"]))
        case 5:
            yield "taskCompleted", pb.TaskCompletedEvent(**_completion(event))
        case 7:
            created = pb.SubOrchestrationInstanceCreatedEvent
            yield "subOrchestrationInstanceCreated", created(name=event["Name"], instanceId=event["InstanceId"])
        case 8:
            completed = pb.SubOrchestrationInstanceCompletedEvent
            yield "subOrchestrationInstanceCompleted", completed(**_completion(event))
        case 10:
            yield "timerCreated", pb.TimerCreatedEvent(fireAt=_time(event["FireAt"]))
        case 11:
            yield "timerFired", pb.TimerFiredEvent(fireAt=_time(event["FireAt"]), timerId=event["TimerId"] + 1)
        case 12:
            yield "orchestratorStarted", pb.OrchestratorStartedEvent()
        case 13:
            yield "orchestratorCompleted", pb.OrchestratorCompletedEvent()
        case 15:
            yield "eventRaised", pb.EventRaisedEvent(name=event["Name"], input=_nullable(event["Input"]))


def _completion(event: JSON) -> JSON:
    return {"taskScheduledId": event["TaskScheduledId"] + 1, "result": _nullable(event["Result"])}


def _check_turn(reply: str, n: int) -> None:
    """A contender that did not run the workflow to its end must not win."""
    actions = pb.OrchestratorResponse.FromString(base64.b64decode(reply)).actions
    ends = [action.completeOrchestration for action in actions if action.HasField("completeOrchestration")]
    if len(actions) != 1 or [(end.orchestrationStatus, end.result.value) for end in ends] != [(COMPLETED, str(n))]:
        raise ValueError(f"it did not replay the workflow of {n} steps: its actions are {str(actions)[:500]}")


# ---------------------------------------------------------------- entities and activities


def _entity(n: int) -> Callable[[str], str]:
    worker: Any = durable_worker.DurableFunctionsWorker()

    def entity(batch: str) -> str:
        reply: str = worker.execute_entity_batch_request(counter, batch)
        return reply

    answer = pb.EntityBatchResult.FromString(base64.b64decode(entity(_batch(n))))
    found = answer.entityState.value, [result.success.result.value for result in answer.results]
    if found != (str(5 + 3 * n), [str(8 + 3 * i) for i in range(n)]):
        raise ValueError(f"it did not run the batch of {n} operations: {str(answer)[:500]}")
    return entity


def _batch(n: int) -> str:
    batch = entity_batch(n)
    operations = [
        pb.OperationRequest(operation=one["name"], requestId=one["id"], input=_nullable(json.loads(one["input"])))
        for one in batch["batch"]
    ]
    instance_id = f"@{batch['self']['name']}@{batch['self']['key']}"
    state = _nullable(batch["state"])
    return _text(pb.EntityBatchRequest(instanceId=instance_id, entityState=state, operations=operations))


def _activity() -> Run:
    app = durable.DFApp()
    app.activity_trigger(input_name="item")(pack)
    # The app brings functions of its own.
    [registered] = [one for one in app.get_functions() if one.get_function_name() == pack.__name__]
    function: Any = registered.get_user_function()

    def activity(text: str) -> object:
        return codec.df_dumps(function(item=codec.df_loads(text)))

    return activity


# ---------------------------------------------------------------- protobuf


def _text(message: Any) -> str:
    return base64.b64encode(message.SerializeToString()).decode()


def _nullable(text: str | None) -> Any:
    return None if text is None else wrappers.StringValue(value=text)


def _time(text: str) -> Any:
    time = timestamps.Timestamp()
    time.FromJsonString(text)
    return time


if __name__ == "__main__":
    main()
