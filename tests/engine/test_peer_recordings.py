"""What azure-functions-durable 1.7.0 replied to recorded payloads: the same is replied here, but for what is listed.

The recordings are large, and lie beside the checkout where they are at all. Their cases named `broken_` show defects of
1.7.0: see test_defects.
"""

from pathlib import Path

import pytest
from recordings import Comparison, cases_of

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
FILES = sorted(GOLDEN.glob("sdk170_*.jsonl"))

pytestmark = pytest.mark.skipif(not FILES, reason="the recordings of 1.7.0 do not lie beside this checkout")

LEFT_OPEN = "something is still open when the next is listed, or at the end: it is listed so that nothing waits for it"
EXPANDED = f"{LEFT_OPEN}; attempts and delays of its retry are listed one by one"

DIFFERS = {
    "any_deadline_loop": LEFT_OPEN,
    "any_failed_first": LEFT_OPEN,
    "any_of_alls": LEFT_OPEN,
    "any_rounds_new_work": LEFT_OPEN,
    "any_timer_wins_goes_on": LEFT_OPEN,
    "ctx_replaying": LEFT_OPEN,
    "event_any_one_name": LEFT_OPEN,
    "event_any_two_names": LEFT_OPEN,
    "event_vs_timer_timer": LEFT_OPEN,
    "fan_two_failing": LEFT_OPEN,
    "long_wins_any": LEFT_OPEN,
    "sub_fan_failing": LEFT_OPEN,
    "retry_in_any_event_wins": EXPANDED,
    "retry_in_any_loses": EXPANDED,
    "retry_in_any_two_calls": EXPANDED,
    "any_empty": "task_any([]) could never complete; it is an error that says so, and 1.7.0 yields None",
    "fan_empty": "task_all([]) is [], and 1.7.0 yields None",
    "entity_describe": "`is_newly_constructed` is True for a new entity, and 1.7.0 always says False",
    "error_text_empty": "an error without a text is told by its type, and 1.7.0 leaves the text out of the message",
    "error_text_secret": "a quote ends what the host masks as a credential, so that the state behind it is not cut",
    "error_bad_input_to_activity": "the message names the value's type, and what to pass instead",
    "value_bytes": "the message names the value's type, and what to pass instead",
    "retry_bad_options": "the message of RetryOptions has the space that 1.7.0 forgot",
    "timer_naive": "the message says that a time zone is needed, and how to get one",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_replies_are_those_of_1_7_0(file: Path, recorded: Comparison) -> None:
    kept = (reply for reply in recorded.replies(file) if not reply.case.startswith("broken_"))
    recorded.check_all(kept, DIFFERS)


def test_every_listed_difference_is_recorded() -> None:
    assert cases_of(FILES) >= DIFFERS.keys()
