"""A host's management API on a real socket that answers as it is told and remembers what it was asked."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

WEBHOOK = "http://localhost:7071/runtime/webhooks/durabletask"
KEY = "taskHub=ThinHub&connection=Storage&code=K"
MANAGEMENT_URLS = {
    "id": "INSTANCEID",
    "statusQueryGetUri": f"{WEBHOOK}/instances/INSTANCEID?{KEY}",
    "sendEventPostUri": f"{WEBHOOK}/instances/INSTANCEID/raiseEvent/{{eventName}}?{KEY}",
    "terminatePostUri": f"{WEBHOOK}/instances/INSTANCEID/terminate?reason={{text}}&{KEY}",
    "rewindPostUri": f"{WEBHOOK}/instances/INSTANCEID/rewind?reason={{text}}&{KEY}",
    "purgeHistoryDeleteUri": f"{WEBHOOK}/instances/INSTANCEID?{KEY}",
    "restartPostUri": f"{WEBHOOK}/instances/INSTANCEID/restart?{KEY}",
    "suspendPostUri": f"{WEBHOOK}/instances/INSTANCEID/suspend?reason={{text}}&{KEY}",
    "resumePostUri": f"{WEBHOOK}/instances/INSTANCEID/resume?reason={{text}}&{KEY}",
}
CREATE = f"{WEBHOOK}/orchestrators/{{functionName}}[/{{instanceId}}]"


def client_payload(rpc_base_url: str | None, **changes: Any) -> str:
    """The text of the client binding, as extension 3.19 sends it."""
    payload = {
        "taskHubName": "ThinHub",
        "connectionName": None,
        "creationUrls": {
            "createNewInstancePostUri": f"{CREATE}?code=K",
            "createAndWaitOnNewInstancePostUri": (
                f"{CREATE}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&code=K"
            ),
        },
        "managementUrls": MANAGEMENT_URLS,
        "baseUrl": WEBHOOK,
        "requiredQueryStringParameters": "code=K",
        "rpcBaseUrl": rpc_base_url,
        "httpBaseUrl": None,
        "maxGrpcMessageSizeInBytes": None,
        "grpcHttpClientTimeout": None,
    }
    return json.dumps(payload | changes)


@dataclass(frozen=True)
class Seen:
    """A request as it came in: method, path with query as on the wire, body."""

    method: str
    target: str
    body: str = ""


@dataclass
class FakeHost:
    """Answers given one after the other, and what was asked for them."""

    base: str = ""
    seen: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    _answers: list[web.Response] = field(default_factory=list)

    def answers(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        """Queues an answer: a JSON body as the extension writes it, or an empty one for None."""
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        kind = None if body is None else "application/json"
        self._answers.append(web.Response(status=status, text=text, content_type=kind, headers=headers))

    def answers_with(self, response: web.Response) -> None:
        """Queues an answer that the extension would not give."""
        self._answers.append(response)

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(Seen(request.method, request.raw_path, (await request.read()).decode()))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return self._answers.pop(0)
