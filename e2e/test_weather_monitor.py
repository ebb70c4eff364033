"""The sample weather_monitor: both twins look until the sky is clear, or until it is time to give up."""

from __future__ import annotations

from typing import Any

import pytest
from host_process import wait_until
from web_service import Reply

APP = "weather_monitor"
SETTINGS = {"WEATHER_URL": "{web}/forecast", "ALERT_URL": "{web}/alert"}
TWINS = pytest.mark.parametrize("twin", ["weather_monitor", "weather_monitor_async"])
OSLO = {"name": "Oslo", "latitude": 59.91, "longitude": 10.75}


def clouds(percent: int) -> Reply:
    return Reply(body={"current": {"cloud_cover": percent}})


@TWINS
def test_it_looks_until_the_sky_is_clear_and_tells(sample: Any, web: Any, twin: str) -> None:
    web.requests.clear()
    web.serve_in_turn("/forecast", clouds(100), clouds(70), clouds(5))
    web.serve_in_turn("/alert", Reply())
    job = {"place": OSLO, "every_seconds": 0.1, "for_seconds": 600}
    assert sample.output_of(sample.begin(twin, job)) == {"clear": True, "looks": 3}
    assert [look.query for look in web.asked("/forecast")] == [
        {"latitude": "59.91", "longitude": "10.75", "current": "cloud_cover"}
    ] * 3
    assert [alert.json for alert in web.asked("/alert")] == [{"text": "Clear sky in Oslo"}]


@TWINS
def test_it_gives_up_in_the_end(sample: Any, web: Any, twin: str) -> None:
    web.requests.clear()
    web.serve_in_turn("/forecast", clouds(100))
    output = sample.output_of(sample.begin(twin, {"place": OSLO, "every_seconds": 0.2, "for_seconds": 1}))
    assert output == {"clear": False, "looks": len(web.asked("/forecast"))}
    assert web.asked("/alert") == []


@TWINS
def test_its_custom_status_says_how_it_stands(sample: Any, web: Any, twin: str) -> None:
    web.serve_in_turn("/forecast", clouds(80))
    instance_id = sample.begin(twin, {"place": OSLO})

    def stands() -> Any:
        return sample.status(instance_id)["customStatus"]

    wait_until(stands, "a first look", sample.log)
    assert {**stands(), "gives_up_at": ""} == {"clouds": 80, "looks": 1, "gives_up_at": ""}
    sample.post(f"{sample.webhook}/instances/{instance_id}/terminate?reason=enough")
    assert sample.result(instance_id)["output"] == "enough"
