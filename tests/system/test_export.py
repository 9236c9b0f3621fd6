"""`vigia history` and `vigia import` as people run them, beside the real service."""

import asyncio
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from db.engine import open_engine
from db.queries import Connection
from runtime.settings import load
from tests.system.conftest import ADMIN_KEY, Program, free_port, run

RESET = (Path(__file__).parents[1] / "reset.sql").read_bytes()
DAY_S = 86400
AGO_DAYS = 60
NASTY = [0.0, -0.0, 1e-199, -2e-200, -1e140, 0.1, 1 / 3, 2**53 + 2.0, -1e-150]
QUESTIONS = (
    "metric=shop_gauge&step=5m&agg=avg,min,max,count,first,last",
    "metric=shop_gauge&step=1d&agg=sum,count&group_by=host",
    "metric=shop_total&step=1h&agg=rate,last",
    "metric=shop_seconds&step=1h&agg=p50,p99,count",
    "metric=shop_nasty&step=1d&agg=min,max,count",
)
EXPORT = ("shop_gauge", "shop_total", "shop_seconds", "shop_nasty", "--step", "raw")


def shop(start: int) -> list[dict[str, Any]]:
    """Samples of a day long ago; sums of multiples of 1/64 are exact in any order."""
    chance = random.Random(1)
    columns = []
    for number, host in enumerate(["a", 'b "quoted", with comma', "ü\u3000 and 'more'"]):
        times = sorted(start + chance.randrange(DAY_S * 10**6) / 10**6 for _ in range(400))
        for metric, kind, unit, values in (
            ("shop_gauge", "gauge", "=1+1", [chance.randrange(9000) / 64 for _ in times]),
            ("shop_total", "counter", "", [float(i % 300) for i, _ in enumerate(times)]),
            ("shop_seconds", "distribution", "s", [chance.expovariate(1) for _ in times]),
            ("shop_nasty", "gauge", "", [NASTY[i % len(NASTY)] for i, _ in enumerate(times)]),
        ):
            labels = {"host": host} if number else {}
            columns.append(
                {"metric": metric, "component": "shop", "category": "trading", "labels": labels,
                 "unit": unit, "kind": kind, "times": times, "values": values}
            )  # fmt: skip
    return columns


async def answers(program: Program, start: int) -> list[dict[str, Any]]:
    range_ = f"start={start}&end={start + DAY_S}"
    found = [await program.get(f"/metrics/history?{q}&{range_}") for q in QUESTIONS]
    return [dict(answer) for answer in found]


def names(folder: Path, pattern: str) -> set[str]:
    return {file.name for file in folder.glob(pattern)}


async def empty(program: Program) -> None:
    """Leave nothing in the database but the schema, while nobody uses it."""
    await program.end(signal.SIGTERM)
    async with open_engine(load(program.environment)) as engine:
        connection = await Connection.connect(engine.dsn, autocommit=True, prepare_threshold=None)
        async with connection:
            await connection.execute(RESET)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_what_is_exported_comes_back_into_an_empty_database_and_stays(
    program: Program, tmp_path: Path
) -> None:
    """In each format: the same samples, the same roll-ups, and a retention that keeps them."""
    await program.start()
    beside = {k: v for k, v in program.environment.items() if k != "VIGIA_ADMIN_KEY"}
    start = int(time.time()) // DAY_S * DAY_S - AGO_DAYS * DAY_S
    retention: Any = (await program.get("/config/retention"))["value"]
    longer = {**retention, "raw_days": 90}
    await program.send("/config/retention", {"value": longer}, "PUT")
    stored = await program.send("/metrics", {"series": shop(start)})
    assert stored["accepted"] == 12 * 400
    before = await answers(program, start)
    files = [tmp_path / f"shop.{form}" for form in ("csv", "ndjson", "arrow")]
    for file in files:
        asked = (*EXPORT, "--start", "2000-01-01T00:00:00Z", "--output", str(file))
        code, out, err = await run(beside, "history", *asked)
        assert (code, out) == (0, ""), err
        assert "rows" in err
    assert names(tmp_path, "shop.*") == {file.name for file in files}

    for file in files:
        await empty(program)
        await program.start()
        code, out, err = await run(beside, "import", str(file), "--json")
        assert code == 0, err
        assert "raw_days from 30 to" in err
        reported = json.loads(out)
        assert (reported["accepted"], reported["duplicate"], reported["rejected"]) == (
            12 * 400,
            0,
            0,
        )
        code, out, err = await run(beside, "import", str(file), "--json")
        assert (code, json.loads(out)["duplicate"]) == (0, 12 * 400)
        assert "raw_days" not in err
        kept: Any = (await program.get("/config/retention"))["value"]
        assert AGO_DAYS + 2 <= kept["raw_days"] <= AGO_DAYS + 5
        assert kept == {**retention, "raw_days": kept["raw_days"]}

        again = tmp_path / f"again{file.suffix}"
        asked = (*EXPORT, "--start", "2000-01-01T00:00:00Z", "--output", str(again))
        assert (await run(beside, "history", *asked))[0] == 0
        assert again.read_bytes() == file.read_bytes()
        async with asyncio.timeout(60):
            while await answers(program, start) != before:
                await asyncio.sleep(1)


async def test_history_is_a_table_json_or_a_stream(program: Program) -> None:
    await program.start()
    start = int(time.time()) - 3600
    values = {"times": [start + 60 * i for i in range(50)], "values": list(range(50))}
    labels = {"host": "[red]a[/red]"}
    column = {"metric": "shop", "component": "web", "labels": labels, **values}
    await program.send("/metrics", {"series": [column]})
    asked = ("history", "shop", "--label", "host=~.*a.*", "--agg", "max", "--agg", "count")

    code, table, _ = await run(program.environment, *asked, "--start", "-2h")
    assert code == 0
    assert "shop of web (host=[red]a[/red])" in table
    assert len(table.splitlines()) < 40

    code, text, _ = await run(
        program.environment, *asked, "--step", "1h", "--start", "-2h", "--json"
    )
    found = json.loads(text)
    assert code == 0
    assert found["series"][0]["labels"] == labels
    assert sum(count or 0 for count in found["series"][0]["values"]["count"]) == 50

    code, lines, _ = await run(
        program.environment, "history", "shop", "--step", "raw", "--format", "csv", "--start", "-2h"
    )
    assert code == 0
    assert len(lines.splitlines()) == 51

    code, _, err = await run(program.environment, "history", "shopp")
    assert (code, err.strip()) == (1, "vigia: there is no metric 'shopp'; did you mean 'shop'?")
    code, out, _ = await run(program.environment, "history", "shop", "--label", "host=nobody")
    assert (code, out.strip()) == (0, "no series matches; GET /metrics lists all series")
    code, _, err = await run(program.environment, "history", "shop", "--agg", "mean")
    assert code == 1
    assert err.startswith("vigia: agg: 'mean' is not one of avg, ")


async def test_an_ingest_key_brings_in_what_is_within_the_retention(
    program: Program, tmp_path: Path
) -> None:
    await program.start()
    made = await run(program.environment, "keys", "create", "feed", "--role", "ingest")
    key = made[1].splitlines()[-1]
    rows = "".join(f"{time.time() - days * DAY_S},shop,web,{days}\n" for days in (1, 2, 40))
    file = tmp_path / "shop.csv"
    file.write_text(f"time,metric,component,value\n{rows}nonsense,shop,web,1\n1,shop,web,\n")
    asked = ("import", str(file), "--url", program.url, "--key", key, "--json")

    code, out, _ = await run(program.environment, *asked)

    reported = json.loads(out)
    assert code == 1
    assert (reported["accepted"], reported["rejected"], reported["empty"]) == (2, 2, 1)
    assert "no longer kept" in str(reported["reasons"])

    code, out, err = await run(program.environment, "import", str(file), "--keep-retention")
    assert (code, out.splitlines()[0]) == (1, "0 accepted, 2 duplicate, 2 rejected, 1 empty")
    code, out, err = await run(program.environment, "import", str(file))
    assert "raw_days from 30 to 44" in err
    assert (code, out.splitlines()[0]) == (1, "1 accepted, 2 duplicate, 1 rejected, 1 empty")


async def test_an_answer_that_breaks_off_leaves_no_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async def answer_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntime,\r\n")
        await writer.drain()
        writer.close()

    file = tmp_path / "shop.csv"
    half = await asyncio.start_server(answer_half, "127.0.0.1", 0)
    async with half:
        ports = half.sockets[0].getsockname()[1], free_port()
        for port, word in zip(ports, ("broke off", "no service answers"), strict=True):
            url = ("--url", f"http://127.0.0.1:{port}", "--key", ADMIN_KEY)
            code, out, err = await run(environment, "history", "a", "--output", str(file), *url)
            assert (code, out) == (1, "")
            assert word in err.splitlines()[-1]
    assert names(tmp_path, "shop*") == set()
