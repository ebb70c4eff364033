"""An app that seals all of its values, so that whoever reads its store learns nothing."""

# mypy: ignore-errors

import base64
import json
from dataclasses import dataclass, field
from datetime import date, timedelta

import azure.functions as func

import worker_ext as df


class Sealed(df.PayloadConverter):
    """Values as text that only the app reads (a real app encrypts); what others send is open."""

    def encode(self, value):
        return json.dumps("sealed:" + base64.b85encode(super().encode(value).encode()[::-1]).decode())

    def decode(self, text, expected_type):
        if text.startswith('"sealed:'):
            text = base64.b85decode(json.loads(text)[7:])[::-1].decode()
        return super().decode(text, expected_type)


@dataclass
class Secret:
    word: str
    on: date
    words: list[str] = field(default_factory=list)


app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS, payload_converter=Sealed())
others = df.Blueprint()


@others.activity_trigger(input_name="secret")
def repeat(secret: Secret) -> Secret:
    return Secret(secret.word, secret.on, [*secret.words, secret.word])


@others.activity_trigger(input_name="word")
async def shout(word):
    return word.upper()


@app.entity_trigger(context_name="context")
@dataclass
class Diary(df.DurableEntity):
    secrets: list[Secret] = field(default_factory=list)

    @df.operation
    def write(self, secret: Secret) -> int:
        self.secrets.append(secret)
        df.DurableEntityContext.current().entity("note", "n").signal.set(secret.word)
        return len(self.secrets)

    @df.operation
    def both(self, word: str, on: date) -> str:
        return f"{word} {on:%Y}"


@others.entity_trigger(context_name="context")
def note(context):
    context.set_state([*context.get_state(list), context.get_input()])
    context.set_result(context.get_state())


@others.orchestration_trigger(context_name="context")
def child(context):
    return context.get_input()["word"]


@app.orchestration_trigger(context_name="context")
async def tell(context: df.DurableOrchestrationContext[Secret]):
    """Every way that values go."""
    secret = context.get_input()
    told = await context.call_activity(repeat, secret)
    event = await context.wait_for_external_event("word", Secret)
    text = await context.wait_for_external_event("word")
    return {
        "told": told.words,
        "shouted": await context.call_activity("shout", secret.word),
        "again": (await context.call_activity_with_retry(repeat, df.RetryOptions(1000, 2), told)).words,
        "child": await context.call_sub_orchestrator("child", secret),
        "event": event.word,
        "text": text,
        "diary": await context.entity(Diary, "d").write(secret),
        "both": await context.entity(Diary, "d").both(secret.word, on=secret.on),
        "note": await context.call_entity(df.EntityId("note", "n"), "set", secret.word),
        "none": await context.call_activity("shout", ""),
    }


@app.orchestration_trigger(context_name="context")
def again(context):
    word, rounds = context.get_input()
    yield context.create_timer(timedelta(milliseconds=1))
    if rounds:
        context.continue_as_new([word, rounds - 1])
        return None
    return word


app.register_functions(others)


@app.route("tell/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> str:
    word, instance_id = req.get_body().decode(), req.route_params["id"]
    secret = Secret(word, date(2026, 1, 2))
    await client.start_new("tell", instance_id, secret)
    await client.raise_event(instance_id, "word", secret)
    await client.send_event(instance_id, "word", word)
    await client.entity(Diary, "d").signal.write(secret)
    return "started"


@app.route("told/{id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def told(req: func.HttpRequest, client) -> str:
    status = await client.wait_for_completion(req.route_params["id"], timedelta(seconds=60))
    diary = await client.entity(Diary, "d").state()
    notes = await client.read_entity_state(df.EntityId("note", "n"))
    facts = {
        "status": status.runtime_status.name,
        "output": status.output,
        "input": status.get_input(Secret).word,
        "diary": [secret.word for secret in diary.secrets],
        "notes": notes.entity_state,
        "listed": [found.output async for found in client.list_instances(instance_id_prefix=status.instance_id)],
    }
    return json.dumps(facts)
