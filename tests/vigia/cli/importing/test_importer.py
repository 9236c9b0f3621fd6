"""Imports: the size of requests, and how far the retention is raised."""

import msgspec
import pytest

from config.model import Config, Retention
from config.store import with_value
from model.limits import REQUEST_SERIES_MAX
from vigia.cli.importing.importer import SAMPLES_MAX, Summary, batches, widened
from vigia.cli.importing.samples_file import Row


def row(
    number: int, *, host: str = "", category: str = "trading", value: float | None = 1.0
) -> Row:
    labels = msgspec.json.encode({"host": host}).decode() if host else ""
    return Row(("load", "app", category, labels, "ms", "counter"), float(number), value)


def test_portions_are_what_one_request_may_hold() -> None:
    summary = Summary()
    rows = [row(i, host=f"h{i % 7}") for i in range(2 * SAMPLES_MAX + 5)]

    found = list(batches(rows, summary))

    assert [batch.samples for batch in found] == [SAMPLES_MAX, SAMPLES_MAX, 5]
    assert [batch.oldest for batch in found] == [0, SAMPLES_MAX, 2 * SAMPLES_MAX]
    [column] = [
        c for c in found[2].columns.values() if c.labels == {"host": f"h{2 * SAMPLES_MAX % 7}"}
    ]
    assert (column.category, column.unit, column.kind) == ("trading", "ms", "counter")
    assert column.times == [2 * SAMPLES_MAX]
    many = list(batches((row(i, host=str(i)) for i in range(REQUEST_SERIES_MAX + 1)), summary))
    assert [len(batch.columns) for batch in many] == [REQUEST_SERIES_MAX, 1]
    long = list(batches((row(i, host=f"{i}{'x' * 1000}") for i in range(2000)), summary))
    assert all(sum(len(name[3]) for name in batch.columns) < 1_010_000 for batch in long)
    assert summary.rejected == summary.empty == 0


def test_rows_of_no_series_and_rows_without_a_value_are_counted() -> None:
    summary = Summary()
    bad = Row(("load", "app", "", "host=a", "", ""), 1.0, 1.0)
    worse = Row(("load", "app", "", '{"host": 1}', "", ""), 1.0, 1.0)
    rows = [row(1, category="nonsense"), bad, worse, row(1, value=None), row(2)]

    found = list(batches(rows, summary))

    assert [batch.samples for batch in found] == [1]
    assert (summary.rejected, summary.empty) == (3, 1)
    assert len(summary.reasons) == 3


@pytest.mark.parametrize("age_days", [0, 1.5, 27.9, 28.1, 30, 87.5, 89, 1824, 9000])
def test_the_retention_is_raised_as_far_as_it_must(age_days: float) -> None:
    shipped = msgspec.to_builtins(Retention())

    wanted = widened(shipped, age_days, ["load"])

    raised = with_value(Config(), "retention", wanted).retention
    assert raised.raw_days >= age_days + 2
    assert raised.raw_days <= max(30, age_days + 4)
    assert (wanted == shipped) == (age_days + 2 <= 30)
    assert raised.rollup_1d_days is None
    assert (raised.rollup_1m_days, raised.checks_days) == (7, 90)


def test_a_metric_that_is_kept_for_less_is_kept_for_longer() -> None:
    policies = {"load": {"keep_days": 5, "resolution": 0.5}, "other": {"keep_days": 5}}
    retention = msgspec.to_builtins(Retention()) | {"metrics": policies}

    wanted = widened(retention, 10, ["load", "third"])

    assert wanted == retention | {
        "metrics": policies | {"load": {"keep_days": 13, "resolution": 0.5}}
    }
    assert widened(retention, 2, ["load"]) == retention
