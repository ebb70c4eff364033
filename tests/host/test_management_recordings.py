"""Every recorded request to the management API of extension 3.19.0, in order, put to a running host.

Status, headers and body must be the recorded ones. Times, generated ids, origins and the contents of continuation
tokens are taken out first; so is the key, which this host does not ask for. What differs is listed with its reason.
The recorded answers and the host's both fit the schemas in `tests/schemas/management.json`.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
from running_host import APPS, Answer, Host, run_host
from running_scheduler import until

RECORDING = Path(__file__).parent.parent / "histories" / "extension" / "e3_http_api.jsonl"
# An answer may hang on a turn that is still to come; after so many seconds it is what it is.
SETTLED = 2.0
HEADERS = ("Content-Type", "Location", "Retry-After", "x-ms-continuation-token")

WORDS = "the extension quotes its own JSON parser"
DIFFERENCES = {
    "start bad json": WORDS,
    "raise bad": WORDS,
    "entity badjson": WORDS,
    "restart same id while running": "the recording's store let go of a live instance; states that run are protected",
    "rewind failed": "the recording's store could not rewind, this one can",
}

# Method, path below the base and status of an answer: the schema of its body. The first that fits counts.
SCHEMAS = (
    (r"\w+ .* (4\d\d|\d+ error)", "error"),
    (r"POST (orchestrators/.*|instances/.*/restart.*) 202", "checkStatus"),
    (r"POST orchestrators/Orch/f__.* 200", "status"),
    (r"POST orchestrators/.* 200", "value"),
    (r"GET instances/?(\?.*)? 200", "statuses"),
    (r"GET instances/.+ (200|202|500)", "status"),
    (r"DELETE instances/.* 200", "purged"),
    (r"GET entities(/\w+)?(\?.*)? 200", "entities"),
    (r"GET entities/\w+/.* 200", "value"),
)
DEFINITIONS = json.loads((Path(__file__).parent.parent / "schemas" / "management.json").read_text())

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_ID = re.compile(r"\b[0-9a-f]{32}\b")
_ORIGIN = re.compile(r"http://(127\.0\.0\.1|localhost):\d+")


def plain(text: str) -> str:
    """A text without what is another each time."""
    text = text.replace("&code=K", "")
    for pattern, word in ((_TIME, "TIME"), (_ID, "ID"), (_ORIGIN, "ORIGIN")):
        text = pattern.sub(word, text)
    return text.replace("ORIGIN/durabletask/", "ORIGIN/runtime/webhooks/durabletask/")


def body_of(text: str) -> Any:
    """A body as JSON; of lists of instances the shape and the ids, since their order is the store's own."""
    try:
        body = json.loads(plain(text))
    except ValueError:
        return plain(text)
    if isinstance(body, list) and body and isinstance(body[0], dict) and "instanceId" in body[0]:
        return sorted(item["instanceId"] for item in body), [list(item) for item in body]
    if isinstance(body, dict) and "StackTrace" in body:
        del body["StackTrace"]
    return body


def seen(status: int, headers: dict[str, str], text: str, *, is_page: bool) -> dict[str, Any]:
    """What is compared of an answer; of a page only how many there are."""
    kept = {name: plain(headers[name]) for name in HEADERS if name in headers}
    if kept.get("x-ms-continuation-token"):
        kept["x-ms-continuation-token"] = "TOKEN"
    body = body_of(text)
    return {"status": status, "headers": kept, "body": len(body[0]) if is_page else body}


def check_schema(request: dict[str, Any], status: int, text: str) -> None:
    """Checks the body of an answer against the schema of its kind."""
    if not text:
        return
    path = request["path"].removeprefix("/durabletask/")
    what = f"{request['method']} {path} {status}{' error' if 'ExceptionMessage' in text else ''}"
    name = next(name for pattern, name in SCHEMAS if re.fullmatch(pattern, what))
    schema = {**DEFINITIONS, "$ref": f"#/$defs/{name}"}
    jsonschema_rs.validate(schema, json.loads(text))


class Replay:
    """Puts recorded requests to a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.token = ""

    async def send(self, request: dict[str, Any]) -> Answer:
        body = request["body"]
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        headers = dict(request["headers"])
        if body and not headers and isinstance(request["body"], dict):
            headers["Content-Type"] = "application/json"
        if "x-ms-continuation-token" in headers:
            headers["x-ms-continuation-token"] = self.token
        path = request["path"].replace("/durabletask/", "/runtime/webhooks/durabletask/")
        answer = await self.host.send(request["method"], path, body and body.encode(), headers)
        self.token = answer.headers.get("x-ms-continuation-token") or self.token
        return answer

    async def difference(self, case: dict[str, Any]) -> dict[str, Any] | None:
        """What the host answers in the end, if that is not what was recorded."""
        is_page = "top=" in case["request"]["path"]
        expected = seen(case["status"], case["headers"], case["body"], is_page=is_page)
        patience = 0 if case["case"] in DIFFERENCES else SETTLED
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            answer = await self.send(case["request"])
            check_schema(case["request"], answer.status, answer.text)
            found = seen(answer.status, answer.headers, answer.text, is_page=is_page)
            if found == expected:
                return None
            if loop.time() > deadline:
                return {"expected": expected, "found": found}
            await asyncio.sleep(0.05)

    async def until_failed(self, instance_id: str) -> None:
        """Waits for an instance that was rewound, which fails once more: the recorded one never left that state."""

        async def has_failed() -> bool:
            answer = await self.host.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")
            return bool(answer.json["runtimeStatus"] == "Failed")

        await until(has_failed)


async def test_the_answers_are_the_recorded_ones() -> None:
    cases = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    differences = {}
    async with run_host(APPS / "recorded") as host:
        replay = Replay(host)
        for case in cases:
            check_schema(case["request"], case["status"], case["body"])
            if (difference := await replay.difference(case)) is not None:
                differences[case["case"]] = difference
            if case["case"] == "rewind failed":
                await replay.until_failed("f__1")
    assert len(cases) == 79
    others = {name: value for name, value in differences.items() if name not in DIFFERENCES}
    assert others == {}
    assert set(differences) == set(DIFFERENCES)
