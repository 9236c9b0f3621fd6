"""Files of samples: rows read, rows rejected and counted, and files of another format."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pytest

from model.errors import InvalidError
from vigia.cli.importing.samples_file import Reader, Row

APP = ("load", "app", "", "", "", "")
AT = 1767225600.25
WHEN = "2026-01-01T00:00:00.250Z"


def read(form: str, body: bytes, column: str | None = None) -> tuple[list[Row], dict[str, int]]:
    reader = Reader(column)
    return list(reader.read(io.BytesIO(body), form)), dict(reader.rejected)


def arrow(**columns: Sequence[object]) -> bytes:
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def test_a_csv_of_others_needs_only_time_metric_component_and_one_more() -> None:
    body = f"\ufeffmetric,time,avg,component\r\nload,{WHEN},1.5,app\r\nload,{AT},,app\r\n".encode()

    assert read("csv", body) == ([Row(APP, AT, 1.5), Row(APP, AT, None)], {})


def test_ndjson_lines_may_have_any_order_and_leave_instances_out() -> None:
    lines = (
        f'{{"value": -0.0, "labels": {{"b": "x", "a": "\u2028"}}, "time": "{WHEN}", '
        '"metric": "load", "component": "app", "more": 1}\n'
        f'{{"time": {AT}, "metric": "load", "component": "app", "value": null}}'
    )

    rows, rejected = read("ndjson", lines.encode())

    assert rows == [
        Row(("load", "app", "", '{"a":"\u2028","b":"x"}', "", ""), AT, -0.0),
        Row(("load", "app", "", "{}", "", ""), AT, None),
    ]
    assert rejected == {}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_arrow_may_come_from_others(unit: str) -> None:
    times = pa.array([1767225600], pa.timestamp("s", "UTC")).cast(pa.timestamp(unit, "UTC"))
    body = arrow(time=times, metric=["load"], component=["app"], value=pa.array([3], pa.int8()))

    assert read("arrow", body) == ([Row(APP, 1767225600, 3.0)], {})


def test_rows_that_cannot_be_samples_are_counted() -> None:
    rows, rejected = read(
        "csv",
        b"time,metric,component,value\n"
        b"yesterday,load,app,1\n-5,load,app,1\n2026-01-01 00:00:00,load,app,1\n"
        b"1767225600.25,load,app,nan\n1767225600.25,load,app,inf\n1767225600.25,load,app,x\n"
        b"1767225600.25,load,app\n1767225600.25,load,app,2\n",
    )
    assert rows == [Row(APP, AT, 2.0)]
    assert rejected == {
        "a time is neither epoch seconds nor RFC 3339": 3,
        "a value is not a number": 3,
        "a line has more or fewer cells than the header": 1,
    }
    good = f'{{"time": {AT}, "metric": "load", "component": "app", "value": 1}}'
    _, rejected = read("ndjson", f'{good}\n{{"time"\n[]\n{good.replace("1}", "[]}")}'.encode())
    assert rejected == {"a line cannot be read": 3}


def test_the_column_of_the_values_is_found_or_chosen() -> None:
    body = b"time,metric,component,avg,max\n1767225600.25,load,app,1,2\n"

    assert read("csv", body, "max")[0] == [Row(APP, AT, 2.0)]
    with pytest.raises(InvalidError, match="avg or max"):
        read("csv", body)
    with pytest.raises(InvalidError, match="no column p99"):
        read("csv", body, "p99")
    body = b"time,metric,component,value,max\n1767225600.25,load,app,1,2\n"
    assert read("csv", body)[0] == [Row(APP, AT, 1.0)]


@pytest.mark.parametrize(
    ("form", "body", "word"),
    [
        ("csv", b"", "no column time"),
        ("csv", b"a,b\n1,2\n", "no column time, metric, component"),
        ("csv", b'time,metric,component,value\n1,"x', "near line 2"),
        ("csv", b"time,metric,component,value\n1,\xff,x,1\n", "cannot be read"),
        ("ndjson", b"time,metric\n", "first line cannot be read"),
        ("ndjson", b'{"time": 1, "value": 2}\n', "no column metric, component"),
        ("arrow", b"", "is not a valid Arrow stream"),
        ("arrow", b"time,metric,component,value\n", "is not a valid Arrow stream"),
        (
            "arrow",
            arrow(time=["x"], metric=["a"], component=["b"], value=[1.0]),
            "is not a valid Arrow stream",
        ),
    ],
)
def test_a_file_of_another_format_is_refused(form: str, body: bytes, word: str) -> None:
    with pytest.raises(InvalidError, match=word):
        read(form, body)


def test_an_export_that_broke_off_is_no_file_of_arrow() -> None:
    body = arrow(
        time=pa.array([1], pa.timestamp("us", "UTC")), metric=["a"], component=["b"], value=[1.0]
    )
    with pytest.raises(InvalidError, match="is not a valid Arrow stream"):
        read("arrow", body[: len(body) // 2 + 100])
