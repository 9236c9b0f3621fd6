"""Exports for tests, read back by independent readers."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from model.series import Sample, Series, labels_of

PATH = "/api/v1/monitoring/metrics/history"
FORMATS = ("csv", "ndjson", "arrow")
TEXTS = ("metric", "component", "category", "labels", "unit", "kind")
GUARDED = re.compile("'[=+@'-]")
Row = dict[str, Any]


def series(metric: str = "load", component: str = "app", **labels: str) -> Series:
    return Series(metric=metric, component=component, labels=labels_of(labels))


def sample(one: Series, time: float, value: float) -> Sample:
    return Sample(one, datetime.fromtimestamp(time, UTC), value)


def ask(service: Any, form: str, role: str = "viewer", key: str = "", **query: Any) -> Any:
    """Return the context of an export's answer, whose body is still to be read.

    It is not compressed: it would be so small that a client who reads nothing holds nothing up.
    """
    bearer = f"Bearer {key or service.keys[role]}"
    headers = {"Authorization": bearer, "Accept-Encoding": "identity"}
    asked = {"metric": "load", "format": form, **query}
    return service.http.get(service.url + PATH, params=asked, headers=headers)


async def rows(service: Any, form: str, **query: Any) -> list[Row]:
    return read(form, await export(service, form, **query))


async def export(service: Any, form: str, **query: Any) -> bytes:
    """Return the body of an export that went well."""
    async with ask(service, form, **query) as answer:
        assert answer.status == 200, await answer.text()
        body: bytes = await answer.read()
        return body


def read(form: str, body: bytes) -> list[Row]:
    """Return rows with times in microseconds, labels as a dict, and numbers as they are."""
    return {"csv": _csv, "ndjson": _ndjson, "arrow": _arrow}[form](body)


def _csv(body: bytes) -> list[Row]:
    lines = csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True)
    return [{name: _cell(name, cell) for name, cell in line.items()} for line in lines]


def _cell(name: str, cell: str) -> Any:
    if name == "time":
        return _us(cell)
    if name == "labels":
        return json.loads(cell)
    if name in TEXTS:
        assert not cell.startswith(("=", "+", "-", "@")), "a spreadsheet would compute it"
        return cell[1:] if GUARDED.match(cell) else cell
    return float(cell) if cell else None


def _ndjson(body: bytes) -> list[Row]:
    lines = [json.loads(line) for line in body.decode().split("\n")[:-1]]
    return [{**line, "time": _us(line["time"])} for line in lines]


def _arrow(body: bytes) -> list[Row]:
    with pa.ipc.open_stream(body) as stream:
        table = stream.read_all()
        assert stream.stats.num_replaced_dictionaries == 0
    table = table.set_column(0, "time", table["time"].cast(pa.int64()))
    return [{**row, "labels": json.loads(row["labels"])} for row in table.to_pylist()]


def _us(text: str) -> int:
    # pandas and others take the form of the first time for all of a column.
    assert text.endswith("Z")
    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
