"""The queries of the history benchmark in the language of each database, and their answers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench import named
from bench.reference import STEP_S, WAIT, Reference
from model.series import Labels, labels_of

SQL = named.load(__file__)
HISTORY = "/api/v1/monitoring/metrics/history"
METRIC = "server_cpu_core_percent"
ONE = labels_of({"core": "7"})
HOUR_S = 3600
DAY_S = 86_400
TOLERANCE = 1e-6
ESTIMATE = 0.1
P99 = 0.99
CROWD = "crowd_percent"
SHORT, WIDE, LONG = "short", "wide", "long"
"""Families of queries. Each has its own limits for the comparison with peers."""
SHIFT_S = 0.001
"""The windows of peers end at a time and include it; ours begin at a time. Shifted by this, both
include the same samples."""

Table = NDArray[np.float64]
"""A row for each series, in the order of its labels, and a column for each bucket."""


class Question(Struct, frozen=True, kw_only=True):
    """One aggregate of series in buckets of a step, over a range that ends with the data.

    `by` is the label that distinguishes the series of the answer. With `is_grouped`, series with
    the same value of it are combined. `expression` is the same query for a peer. Without `sql`
    there is no practical form in plain SQL.
    """

    name: str
    family: str
    range_s: int
    step_s: int
    sql: str = ""
    metric: str = METRIC
    labels: Labels = ()
    by: str = "core"
    is_grouped: bool = False
    agg: str = "avg"
    expression: str = "avg_over_time({selector}[{step}s])"
    is_estimate: bool = False

    def window(self, data: Reference) -> tuple[int, int]:
        end = int(data.end.timestamp())
        return end - self.range_s, end

    def expected(self, data: Reference) -> Table:
        groups: dict[str, list[Table]] = {}
        for row in data.rows_of(self.metric, self.labels):
            values = data.values[row, -self.range_s // STEP_S :]
            name = self.label_of(dict(data.series[row].labels))
            groups.setdefault(name, []).append(values.reshape(-1, self.step_s // STEP_S))
        samples = np.array([np.hstack(groups[name]) for name in sorted(groups)])
        table: Table = (
            samples.mean(axis=2) if self.agg == "avg" else np.quantile(samples, P99, axis=2)
        )
        return table

    def label_of(self, labels: Mapping[str, str]) -> str:
        return labels.get(self.by, "")

    def path(self, data: Reference) -> str:
        """Return the request to Vigia."""
        start, end = self.window(data)
        asked = {"metric": self.metric, "start": start, "end": end}
        asked |= {"step": f"{self.step_s}s", "agg": self.agg}
        asked |= {"group_by": self.by} if self.is_grouped else {}
        asked |= {f"label.{name}": value for name, value in self.labels}
        return f"{HISTORY}?{urlencode(asked)}"

    def peer_path(self, data: Reference, options: str = "") -> str:
        start, end = (time + self.step_s - SHIFT_S for time in self.window(data))
        matchers = ",".join(f'{name}="{value}"' for name, value in self.labels)
        query = self.expression.format(selector=f"{self.metric}{{{matchers}}}", step=self.step_s)
        query = query.replace(f"{WAIT}{{", f"{WAIT}_bucket{{")
        asked = {"query": query, "start": start, "end": end - self.step_s, "step": self.step_s}
        return f"/api/v1/query_range?{urlencode(asked)}{options}"

    def parameters(self, data: Reference, ids: list[int]) -> dict[str, Any]:
        """Return the parameters of the plain SQL."""
        start, end = (datetime.fromtimestamp(time, UTC) for time in self.window(data))
        return {"ids": ids, "start": start, "end": end, "step_s": self.step_s, "by": self.by}

    def read(self, body: bytes) -> Table:
        """Return the answer of Vigia."""
        series = msgspec.json.decode(body)["series"]
        series.sort(key=lambda one: self.label_of(one["labels"]))
        return np.array([one["values"][self.agg] for one in series], dtype=np.float64)

    def read_peer(self, body: bytes) -> Table:
        series = msgspec.json.decode(body)["data"]["result"]
        series.sort(key=lambda one: self.label_of(one["metric"]))
        return np.array([[float(value) for _, value in one["values"]] for one in series])

    def check(self, name: str, answer: Table, expected: Table) -> None:
        """Raise AssertionError for a wrong answer. For estimates, only the median error counts."""
        assert answer.shape == expected.shape, f"{name}: {answer.shape}, not {expected.shape}"
        errors = np.abs(answer - expected) / np.maximum(np.abs(expected), 1)
        worst, most = (
            (np.median(errors), ESTIMATE) if self.is_estimate else (np.max(errors), TOLERANCE)
        )
        assert worst <= most, f"{name}, {self.name}: an error of {worst}"


_GROUPED = "avg by (route) (avg_over_time({selector}[{step}s]))"
_P99 = "quantile_over_time(0.99, {selector}[{step}s])"
_DISTRIBUTION = "histogram_quantile(0.99, sum by (le, zone) (increase({selector}[{step}s])))"

QUESTIONS = (
    Question(
        name="1 h raw, 1 series", family=SHORT, range_s=HOUR_S, step_s=15, sql="raw", labels=ONE
    ),
    Question(
        name="24 h, 1 series, 5 m", family=SHORT, range_s=DAY_S, step_s=300, sql="of_5m", labels=ONE
    ),
    Question(name="24 h, 20 series, 5 m", family=WIDE, range_s=DAY_S, step_s=300, sql="of_5m"),
    Question(
        name="24 h, 100 series, 5 m", family=WIDE, range_s=DAY_S, step_s=300, sql="of_5m",
        metric=CROWD, by="n",
    ),
    Question(
        name="24 h, 100 series in 10 groups, 5 m", family=WIDE, range_s=DAY_S, step_s=300,
        sql="grouped_5m", metric=CROWD, by="route", is_grouped=True, expression=_GROUPED,
    ),
    Question(
        name="24 h, p99 of 1 series, 5 m", family=WIDE, range_s=DAY_S, step_s=300, sql="p99",
        labels=ONE, agg="p99", expression=_P99,
    ),
    Question(
        name="24 h, p99 of 4 distributions, 5 m", family=WIDE, range_s=DAY_S, step_s=300,
        metric=WAIT, by="zone", is_grouped=True, agg="p99", expression=_DISTRIBUTION,
        is_estimate=True,
    ),
    Question(
        name="7 d, p99 of 20 series, 1 h", family=WIDE, range_s=7 * DAY_S, step_s=HOUR_S,
        sql="p99", agg="p99", expression=_P99,
    ),
    Question(
        name="7 d, 20 series, 1 h", family=LONG, range_s=7 * DAY_S, step_s=HOUR_S, sql="of_1h"
    ),
    Question(
        name="30 d, 1 series, 1 h", family=LONG, range_s=30 * DAY_S, step_s=HOUR_S, sql="of_1h",
        labels=ONE,
    ),
    Question(
        name="30 d, 20 series, 6 h", family=LONG, range_s=30 * DAY_S, step_s=6 * HOUR_S,
        sql="of_1h_by_6h",
    ),
)  # fmt: skip
OFTEN = QUESTIONS[1]
"""The most frequent query of the dashboard. It is the one for many clients at once."""


def auto_path(data: Reference, hours: int) -> str:
    """Return the request for one series over some hours, with a step that Vigia chooses."""
    end = int(data.end.timestamp())
    asked = {"metric": METRIC, "points": 500} | {f"label.{k}": v for k, v in ONE}
    return f"{HISTORY}?{urlencode(asked | {'start': end - hours * HOUR_S, 'end': end})}"


def read_rows(rows: list[tuple[Any, ...]], keys: Sequence[object]) -> Table:
    """Return the rows of the plain SQL as a table. `keys` are the order of the first column."""
    columns: dict[object, list[float]] = {key: [] for key in keys}
    for key, _, value in rows:
        columns.setdefault(key, []).append(value)
    return np.array(list(columns.values()))
