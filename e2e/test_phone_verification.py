"""The sample phone_verification: the code goes out by SMS, and has to come back in time."""

from __future__ import annotations

from typing import Any

import pytest
from host_process import wait_until
from web_service import Reply

APP = "phone_verification"
SETTINGS = {
    "TWILIO_URL": "{web}",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "secret",
    "TWILIO_NUMBER": "+4700000000",
}
MESSAGES = "/2010-04-01/Accounts/AC1/Messages.json"
PHONE = "+4712345678"


@pytest.fixture(autouse=True)
def _sms(web: Any) -> None:
    web.requests.clear()
    web.serve_in_turn(MESSAGES, Reply(201, {"status": "queued"}))


def begin(host: Any, seconds: float = 600) -> str:
    answer = host.post("/api/verifications", {"phone": PHONE, "seconds": seconds})
    assert answer.status == 202, answer.text
    return str(answer.json["id"])


def code(web: Any) -> str:
    """The code in the only message that was sent."""
    wait_until(lambda: web.asked(MESSAGES), "a message")
    (message,) = web.asked(MESSAGES)
    text: str = message.form["Body"]
    assert message.form == {"To": PHONE, "From": "+4700000000", "Body": f"Your code is {text[-4:]}"}
    return text[-4:]


def enter(host: Any, instance_id: str, entered: str) -> int:
    status: int = host.request("POST", f"/api/verifications/{instance_id}/code", entered.encode()).status
    return status


def wrong(right: str) -> str:
    return f"{(int(right) + 1) % 10_000:04}"


def test_the_right_code_verifies(sample: Any, web: Any) -> None:
    instance_id = begin(sample)
    assert enter(sample, instance_id, code(web)) == 202
    assert sample.output_of(instance_id) is True


def test_two_mistakes_are_forgiven(sample: Any, web: Any) -> None:
    instance_id = begin(sample)
    for entered in (wrong(code(web)), wrong(code(web)), code(web)):
        enter(sample, instance_id, entered)
    status = sample.result(instance_id)
    assert (status["output"], status["customStatus"]) == (True, "wrong code; attempts left: 1")


def test_three_mistakes_are_not(sample: Any, web: Any) -> None:
    instance_id = begin(sample)
    for entered in (wrong(code(web)), "", "zwölf"):
        enter(sample, instance_id, entered)
    assert sample.output_of(instance_id) is False
    assert enter(sample, instance_id, code(web)) == 410


def test_who_is_late_is_not_verified(sample: Any, web: Any) -> None:
    instance_id = begin(sample, seconds=0.2)
    assert sample.output_of(instance_id) is False


def test_a_request_without_a_phone_is_the_callers_mistake(sample: Any) -> None:
    answer = sample.post("/api/verifications", {"phone": None})
    assert (answer.status, answer.text) == (400, 'The body must be {"phone": "<number>"}.')


def test_a_code_for_nothing_is_refused(sample: Any) -> None:
    assert enter(sample, "unknown", "1234") == 404
