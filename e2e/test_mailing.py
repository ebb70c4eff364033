"""The sample mailing: limits hold across instances, nobody waits for ever, and who is terminated blocks nobody."""

from __future__ import annotations

import time
from typing import Any

from host_process import wait_until

APP = "mailing"
SETTINGS = {"PRINTER_LEASE": "15"}
LETTERS, PERIOD, PRINTERS = 3, 2.0, 2
TWINS = ["mail", "mail_steps"]


def test_letters_of_many_instances_keep_to_both_limits(sample: Any) -> None:
    begun = time.time()
    started = [sample.begin(TWINS[number % 2], str(number)) for number in range(10)]
    printed = [sample.output_of(instance) for instance in started]
    for start, _, _ in printed:
        assert sum(first <= start < last for first, last, _ in printed) <= PRINTERS
    for _, _, sent in printed:  # what was granted by then, since the first one came
        granted = sum(other <= sent for _, _, other in printed)
        assert granted <= LETTERS * (int((sent - begun) / PERIOD) + 1)


def test_printers_whose_holders_were_terminated_are_given_on(sample: Any) -> None:
    repairs = [sample.begin("repair") for _ in range(PRINTERS)]
    for repair in repairs:
        wait_until(lambda: sample.status(repair)["customStatus"] == "repairing", "a repair to begin", sample.log)  # noqa: B023
    letter = sample.begin("mail", "patient")
    for repair in repairs:
        assert sample.post(f"{sample.webhook}/instances/{repair}/terminate?reason=gone").status == 202
    assert len(sample.output_of(letter)) == 3


def test_who_is_terminated_in_line_is_passed(sample: Any) -> None:
    repairs = [sample.begin("repair") for _ in range(PRINTERS)]
    for repair in repairs:
        wait_until(lambda: sample.status(repair)["customStatus"] == "repairing", "a repair to begin", sample.log)  # noqa: B023
    first = sample.begin("mail", "first")
    wait_until(lambda: len(line(sample)) == 1, "the first to be in line", sample.log)
    second = sample.begin("mail_steps", "second")
    assert sample.post(f"{sample.webhook}/instances/{first}/terminate?reason=gone").status == 202
    for repair in repairs:
        assert sample.post(f"{sample.webhook}/instances/{repair}/raiseEvent/repaired", True).status == 202
    assert len(sample.output_of(second)) == 3


def line(host: Any) -> list[Any]:
    answer = host.get(f"{host.webhook}/entities/DurableSemaphore/printer")
    return list(answer.json["line"]["places"]) if answer.status == 200 else []
