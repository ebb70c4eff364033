"""The sample singleton: one import of a catalogue at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from host_process import PATIENCE
from web_service import Reply, Request

APP = "singleton"
SETTINGS = {"CATALOGUE_URL": "{web}"}
PAGES = {"1": {"items": ["cup", "book"], "next": 2}, "2": {"items": ["tea"]}}


@pytest.fixture
def catalogue(web: Any) -> Any:
    """A catalogue of two pages, which is not given before it is let go."""
    web.requests.clear()
    given = threading.Event()

    def answer(request: Request) -> Reply:
        given.wait(PATIENCE)
        return Reply(body=PAGES[request.query["page"]])

    web.serve("/shop", answer)
    yield given.set
    given.set()


def test_many_callers_at_once_start_one_import(sample: Any, web: Any, catalogue: Any) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: sample.post("/api/imports/shop"), range(8)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 7
    assert {answer.text for answer in answers if answer.status == 409} == {"An import of this catalogue is under way."}
    catalogue()
    assert sample.output_of("import-shop") == 3
    assert [request.query for request in web.asked("/shop")] == [{"page": "1"}, {"page": "2"}]


def test_the_next_import_starts_when_the_first_has_ended(sample: Any, catalogue: Any) -> None:
    catalogue()
    for _ in range(2):
        assert sample.post("/api/imports/shop").status == 202
        assert sample.output_of("import-shop") == 3


def test_catalogues_do_not_wait_for_each_other(sample: Any, web: Any, catalogue: Any) -> None:
    web.serve_in_turn("/archive", Reply(body={"items": []}))
    assert sample.post("/api/imports/shop").status == 202
    assert sample.post("/api/imports/archive").status == 202
    assert sample.output_of("import-archive") == 0
    catalogue()
    assert sample.output_of("import-shop") == 3
