"""What is wrong with a request is said in plain English, with what is allowed."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.http.bodies import wrong_requests
from tests.model.validation.corpus import kinds_in

BASE = "/api/v1/monitoring"
RULE = {"name": "r", "metric": "m", "category": "system", "levels": {"warning": 1}}
NAME = "must have 1 to 100 letters, digits, '_', '.' or '-', and start with a letter or digit"
METRIC = "must have 1 to 128 letters, digits, '_', '.', ':' or '-', and start with a letter or '_'"
TARGET = (
    "must have 1 to 63 lower-case letters, digits, '_' or '-', and start with a letter; "
    "did you mean 'my-site'?"
)
DURATION = "must be a duration in whole seconds, such as 15s, 5m, 1h or 7d"
AGGREGATES = "avg, count, first, last, max, min, p50, p90, p95, p99, rate, stddev, sum"
LEVELS = "info, warning, critical, emergency"
SITE = {"name": "my site", "url": "https://example.com"}
RULES, CONFIG = "POST /alerts/rules", "PUT /config"
WRAP = "'collect_s' is not a known field; the value goes into 'value': write {\"value\": …}"

CASES: list[tuple[str, Any, str]] = [
    (RULES, RULE | {"name": "my rule"}, f"name: {NAME}; did you mean 'my-rule'?"),
    (RULES, RULE | {"metric": "server cpu"}, f"metric: {METRIC}; did you mean 'server_cpu'?"),
    (RULES, RULE | {"window": "5x"}, f"window: {DURATION}"),
    (f"{CONFIG}/targets", {"value": [SITE]}, f"targets[0].name: {TARGET}"),
    (f"{CONFIG}/scrapes", {"value": [SITE]}, f"scrapes[0].name: {TARGET}"),
    (RULES, RULE | {"op": "=>"}, "op: '=>' is not one of <, <=, >, >=; did you mean '>='?"),
    (
        RULES,
        RULE | {"agg": "mean"},
        f"agg: 'mean' is not one of {AGGREGATES}; did you mean 'avg'?",
    ),
    (
        RULES,
        RULE | {"kind": "foo"},
        "kind: 'foo' is not one of absence, burn, change, composite, ratio, sql, threshold",
    ),
    (
        RULES,
        RULE | {"levels": {"warn": 1}},
        f"a name in levels: 'warn' is not one of {LEVELS}; did you mean 'warning'?",
    ),
    (
        "POST /alerts/silences",
        {"matcher": {"level": ["high"]}, "comment": "c", "duration": "1h"},
        f"matcher.level[0]: 'high' is not one of {LEVELS}",
    ),
    (RULES, None, "the body is empty; send a JSON object with Content-Type: application/json"),
    (RULES, [1], "the body must be an object, not a list"),
    (RULES, RULE | {"levles": {}}, "'levles' is not a known field; did you mean 'levels'? The f…"),
    (
        "POST /maintenance",
        {"name": "a", "schedule": "daily"},
        "'schedule' is not a known field; did you mean 'repeat'? The fields are name, matcher, …",
    ),
    (f"{CONFIG}/intervals", {"collect_s": 3}, WRAP),
    (f"{CONFIG}/thresholds", {"value": {"x": 5}}, "thresholds.x: must be an object, not a whole …"),
    (f"{CONFIG}/dependencies", {"value": {"a": "b"}}, "dependencies.a: must be a list, not a text"),
    ("GET /alerts/active?level=foo", None, f"level: 'foo' is not one of {LEVELS}"),
    (
        "GET /metrics/history?metric=m&points=abc",
        None,
        "points: must be a whole number from 2 to 11000, not 'abc'",
    ),
    ("GET /metrics/history?metric=m&points=0", None, "points: must be from 2 to 11000, not 0"),
    ("GET /metrics/history", None, "the query parameter 'metric' is missing"),
    (
        "GET /metrics/history?metric=m&pionts=5",
        None,
        "'pionts' is not a parameter; did you mean 'points'? The parameters are agg, compare, …",
    ),
    (
        "GET /metrics/history?metric=m&fill=nul",
        None,
        "fill: 'nul' is not one of null, none, previous, linear; did you mean 'null'?",
    ),
]
"""Requests whose answers were texts of libraries in the first version, and the answers of now."""


@pytest.mark.parametrize(("address", "body", "expected"), CASES, ids=range(len(CASES)))
async def test_the_answer_says_what_is_wrong_and_what_is_allowed(
    service: Any, address: str, body: Any, expected: str
) -> None:
    method, path = address.split(" ")
    sent = {} if body is None else {"json": body}
    answer = await service.ask(BASE + path, method=method, **sent)

    assert answer.status == 400
    begin, _, rest = expected.partition("…" if expected.endswith("…") else "\n")
    assert not rest
    assert answer.detail.startswith(begin)
    assert expected.endswith("…") or answer.detail == expected
    assert not kinds_in(answer.detail)


async def test_an_alert_that_is_acknowledged_twice_says_so(service: Any) -> None:
    alert = (await service.post("/dev/test-alert", {"level": "critical"})).body["id"]
    assert (await service.post(f"/alerts/{alert}/acknowledge", {})).status == 200

    again = await service.post(f"/alerts/{alert}/acknowledge", {})
    assert (again.status, again.detail) == (409, f"alert {alert} is already acknowledged")


async def test_a_setting_that_does_not_exist_is_answered_with_the_nearest(service: Any) -> None:
    answer = await service.ask(BASE + "/config/treshold", method="PUT", json={"value": 1})

    assert answer.status == 404
    assert answer.detail == "there is no setting 'treshold'; did you mean 'thresholds'?"


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_no_answer_to_a_wrong_request_is_in_words_of_a_library(
    service: Any, data: st.DataObject
) -> None:
    request = data.draw(wrong_requests(service.document))
    answer = await service.ask(
        request.path, method=request.method, params=request.query, json=request.body
    )

    assert answer.status < 500, answer
    if answer.status >= 400:
        assert not kinds_in(_said(answer.body)), (request, answer.body)


def _said(body: Any) -> str:
    """Return the words of an answer: OpenTelemetry and remote write have forms of their own."""
    if not isinstance(body, dict):
        return str(body)
    return str(body.get("detail") or body.get("message") or body)
