"""
One line of the log for each request: who, what, how long, how dear; and no secret.
"""

import json
from typing import Any

import pytest

import app as service
from chalicelib import telemetry
from infra.local.worker import Pump
from infra.package.template import merged
from tests.actors import Actor
from tests.aws_faults import overloaded
from tests.configuring import configure


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cloud-images.requests")


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Return what the log of requests has."""
    return [
        json.loads(one.message)
        for one in caplog.records
        if one.name == "cloud-images.requests"
    ]


def test_a_request_is_told_in_one_line(
    producer: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    """By its route, never its path, query, token or body."""
    image_id = producer.make_image(name="secret")
    caplog.clear()
    response = producer.get(f"/v2/images/{image_id}?secret=1")

    (line,) = lines(caplog)
    gateway_id, milliseconds = line.pop("gateway_id"), line.pop("Milliseconds")
    assert gateway_id
    assert milliseconds > 0
    assert line == {
        "function": "local",
        "request_id": response.headers["x-openstack-request-id"],
        "method": "GET",
        "route": "/v2/images/{image_id}",
        "status": 200,
        "project": telemetry.named_project("producer"),
        "Calls": 1,
        "ReadUnits": line["ReadUnits"],
        "WriteUnits": 0,
        "LostRecentChanges": 0,
        "Cold": 0,
    }
    assert line["ReadUnits"] > 0
    assert "secret" not in caplog.text


def test_the_name_of_a_project_in_a_log_depends_on_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has the logs alone cannot try projects that are known."""
    names = set()
    for key in ("", "one", "another"):
        configure(monkeypatch, log_key=key)
        names.add(telemetry.named_project("producer"))

    assert len(names) == 3
    # What docs/operations.md computes with openssl.
    configure(monkeypatch, log_key="one")
    assert telemetry.named_project("producer") == "e54520550634d77f"


def test_no_log_names_a_project(
    producer: Actor, pump: Pump, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither that of requests, nor that of events, nor that of lost recent changes."""
    for name in telemetry.LINES:
        caplog.set_level("INFO", name)
    image_id = producer.make_image()
    producer.share(image_id, "the-consumer")
    with overloaded("PutItem"):
        rename = {"op": "replace", "path": "/name", "value": "new"}
        producer.patch(f"/v2/images/{image_id}", [rename])
    pump.drain()

    names = {one.name for one in caplog.records if one.name.startswith("cloud-images")}
    assert names >= set(telemetry.LINES)
    said = " ".join(
        one.getMessage() for one in caplog.records if "botocore" not in one.name
    )
    assert "was lost" in said
    assert [one for one in ("producer", "the-consumer") if one in said] == []


def test_the_access_log_has_no_path() -> None:
    """A path of a member names a project."""
    api: Any = merged("prod")["Resources"]["RestAPI"]["Properties"]
    fields = json.loads(api["AccessLogSetting"]["Format"])

    assert "$context.path" not in fields.values()
    assert fields["route"] == "$context.resourcePath"


def test_a_project_is_told_plainly_where_that_is_set(
    producer: Actor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody, where nobody was identified."""
    configure(monkeypatch, log_projects="plain")

    producer.get("/v2/images")
    producer.get("/")
    producer.send("GET", "/v2/images", {}, b"")

    assert [(one["project"], one["status"]) for one in lines(caplog)] == [
        ("producer", 200),
        (None, 300),
        (None, 401),
    ]


def test_the_first_request_of_a_process_is_cold(
    producer: Actor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the ones after it are not."""
    monkeypatch.setitem(telemetry.counted, "Requests", 0)

    producer.get("/")
    producer.get("/")

    assert [one["Cold"] for one in lines(caplog)] == [1, 0]


def test_a_lost_recent_change_is_counted(
    producer: Actor, image_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The change itself succeeded; a list may lag behind it."""
    path = f"/v2/images/{image_id}"
    caplog.clear()
    with overloaded("PutItem"):
        renamed = producer.patch(
            path, [{"op": "replace", "path": "/name", "value": "new"}]
        )

    (line,) = lines(caplog)
    assert renamed.status == 200
    assert (line["LostRecentChanges"], line["Calls"]) == (1, 3)
    assert line["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "CloudImages",
            "Dimensions": [["function"]],
            "Metrics": [{"Name": "LostRecentChanges", "Unit": "Count"}],
        }
    ]


def test_a_line_has_at_most_500_bytes(
    producer: Actor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the longest function's name, route and id that AWS and the API have."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f" * 64)
    monkeypatch.setitem(telemetry.counted, "Requests", 0)
    longest = max(service.app.routes, key=len)
    path = longest.replace("{", "").replace("}", "")
    producer.delete(path)

    (line,) = [
        one.message for one in caplog.records if one.name == "cloud-images.requests"
    ]
    assert longest in line
    # Units and milliseconds have some digits more in a large list.
    assert len(line.encode()) <= telemetry.LINE_BYTES_MAX - 20


def test_alarms_and_dashboard_know_the_metrics() -> None:
    """By the names and the dimension that the line has."""
    resources = merged("prod")["Resources"]
    board = resources["Board"]["Properties"]["DashboardBody"]["Fn::Sub"]
    alarm = resources["LostRecentChanges"]["Properties"]

    assert alarm["Namespace"] == telemetry.NAMESPACE
    assert alarm["MetricName"] == telemetry.METRIC
    assert [one["Name"] for one in alarm["Dimensions"]] == ["function"]
    assert '"LostRecentChanges"' in board
