"""What the history benchmark asks, in the words of each database, and how it reads the answers."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench import named
from bench.reference import STEP_S, Reference
from vigia.model import Labels, labels_of

SQL = named.load(__file__)
HISTORY = "/api/v1/monitoring/metrics/history"
METRIC = "server_cpu_core_percent"
ONE = labels_of({"core": "7"})
HOUR_S = 3600
DAY_S = 86_400
TOLERANCE = 1e-6
SHIFT_S = 0.001
"""Peers' windows end at a time and hold it; ours begin at a time: a millisecond less, and both hold
the same samples."""

Table = NDArray[np.float64]
"""A row for each series, in the order of its labels, and a column for each bucket."""


class Question(Struct, frozen=True, kw_only=True):
    """The mean of some series in buckets of a step, over the range that ends with the data."""

    name: str
    range_s: int
    step_s: int
    sql: str
    labels: Labels = ()

    def window(self, data: Reference) -> tuple[int, int]:
        end = int(data.end.timestamp())
        return end - self.range_s, end

    def expected(self, data: Reference) -> Table:
        rows = sorted(data.rows_of(METRIC, self.labels), key=lambda row: data.series[row].labels)
        values = data.values[rows, -self.range_s // STEP_S :]
        means: Table = values.reshape(len(rows), -1, self.step_s // STEP_S).mean(axis=2)
        return means

    def path(self, data: Reference) -> str:
        """Return the request to Vigia."""
        start, end = self.window(data)
        asked = {"metric": METRIC, "start": start, "end": end}
        asked |= {"step": f"{self.step_s}s", "agg": "avg"}
        asked |= {f"label.{name}": value for name, value in self.labels}
        return f"{HISTORY}?{urlencode(asked)}"

    def peer_path(self, data: Reference, options: str = "") -> str:
        start, end = (time + self.step_s - SHIFT_S for time in self.window(data))
        matchers = ",".join(f'{name}="{value}"' for name, value in self.labels)
        query = f"avg_over_time({METRIC}{{{matchers}}}[{self.step_s}s])"
        asked = {"query": query, "start": start, "end": end - self.step_s, "step": self.step_s}
        return f"/api/v1/query_range?{urlencode(asked)}{options}"

    def parameters(self, data: Reference, ids: list[int]) -> dict[str, Any]:
        """Return what the plain SQL is asked with."""
        start, end = (datetime.fromtimestamp(time, UTC) for time in self.window(data))
        return {"ids": ids, "start": start, "end": end}


QUESTIONS = (
    Question(name="1 h raw, 1 series", range_s=HOUR_S, step_s=15, sql="raw", labels=ONE),
    Question(name="24 h, 1 series, 5 m", range_s=DAY_S, step_s=300, sql="of_5m", labels=ONE),
    Question(name="24 h, 20 series, 5 m", range_s=DAY_S, step_s=300, sql="of_5m"),
    Question(name="7 d, 20 series, 1 h", range_s=7 * DAY_S, step_s=HOUR_S, sql="of_1h"),
    Question(
        name="30 d, 1 series, 1 h", range_s=30 * DAY_S, step_s=HOUR_S, sql="of_1h", labels=ONE
    ),
    Question(name="30 d, 20 series, 6 h", range_s=30 * DAY_S, step_s=6 * HOUR_S, sql="of_1h_by_6h"),
)


def auto_path(data: Reference, hours: int) -> str:
    """Return the request to Vigia for one series over some hours, at a step of its own choice."""
    end = int(data.end.timestamp())
    asked = {"metric": METRIC, "points": 500} | {f"label.{k}": v for k, v in ONE}
    return f"{HISTORY}?{urlencode(asked | {'start': end - hours * HOUR_S, 'end': end})}"


def read(body: bytes) -> Table:
    """Return the answer of Vigia."""
    answer = msgspec.json.decode(body)
    series = sorted(answer["series"], key=lambda one: sorted(one["labels"].items()))
    return np.array([one["values"]["avg"] for one in series], dtype=np.float64)


def read_peer(body: bytes) -> Table:
    series = msgspec.json.decode(body)["data"]["result"]
    series.sort(key=lambda one: one["metric"]["core"])
    return np.array([[float(value) for _, value in one["values"]] for one in series])


def read_rows(rows: list[tuple[Any, ...]], ids: list[int]) -> Table:
    """Return the rows of the plain SQL."""
    columns: dict[int, list[float]] = {number: [] for number in ids}
    for number, _, value in rows:
        columns[number].append(value)
    return np.array(list(columns.values()))


def check(name: str, answer: Table, expected: Table) -> None:
    """Refuse to time a wrong answer."""
    assert answer.shape == expected.shape, f"{name}: {answer.shape} instead of {expected.shape}"
    worst = np.max(np.abs(answer - expected) / np.maximum(np.abs(expected), 1))
    assert worst <= TOLERANCE, f"{name}: an error of {worst}"
