"""The program from start to end: it collects, answers, stores, and says how it ended."""

import asyncio
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from tests.system.conftest import ADMIN_KEY, NATIVE_URL, Program, free_port, run, vigia


async def collect_fast(program: Program) -> None:
    value = {"collect_s": 1, "health_s": 5}
    await program.send("/config/intervals", {"value": value}, "PUT")


async def current(program: Program, metric: str, component: str = "server") -> dict[str, float]:
    """The newest value of a metric, awaited until there is one."""
    async with asyncio.timeout(30):
        while True:
            found = await program.get("/metrics/current")
            metrics = found["components"].get(component, {}).get("metrics", {})
            if metric in metrics:
                return metrics[metric]
            await asyncio.sleep(0.2)


async def test_it_measures_this_machine_as_psutil_does(program: Program) -> None:
    await program.start()
    await collect_fast(program)

    memory = await current(program, "server_memory_percent")
    uptime = await current(program, "server_uptime_seconds")
    disk = await current(program, "server_disk_percent")

    assert memory["value"] == pytest.approx(psutil.virtual_memory().percent, abs=5)
    assert uptime["value"] == pytest.approx(time.time() - psutil.boot_time(), abs=40)
    assert disk["series"][0]["value"] == pytest.approx(psutil.disk_usage("/").percent, abs=2)
    assert (await current(program, "database_latency_ms", "database"))["value"] > 0


async def test_health_follows_within_a_slot_and_is_stored(program: Program) -> None:
    await program.start()
    await collect_fast(program)

    async with asyncio.timeout(40):
        while (found := await program.get("/health"))["status"] is None:
            await asyncio.sleep(0.2)
    assert found["components"]["database"]["status"] == "healthy"
    trading = found["components"]["trading"]
    assert (trading["status"], trading["uptime_24h"]) == (None, None)
    assert "VIGIA_TRADING_DATABASE_URL" in trading["reason"]


async def test_termination_stores_everything_and_exits_with_zero(program: Program) -> None:
    await program.start()
    await collect_fast(program)
    await current(program, "server_cpu_percent")
    code, printed = await program.end(signal.SIGTERM)

    assert code == 0, printed
    assert '"event": "stopped"' in printed
    assert "Traceback" not in printed
    assert ADMIN_KEY not in printed


async def test_termination_during_the_start_is_obeyed_at_once(program: Program) -> None:
    program.process = await vigia(program.environment, "serve")
    assert program.process.stderr is not None
    await asyncio.wait_for(program.process.stderr.readline(), 30)
    code, printed = await program.end(signal.SIGTERM)

    assert code == 0, printed
    assert "Traceback" not in printed


async def test_an_acknowledged_sample_survives_a_kill(program: Program) -> None:
    await program.start()
    now = int(datetime.now(UTC).timestamp())
    acknowledged = 0
    for number in range(5):
        column = {
            "metric": "survivor",
            "component": "test",
            "times": [now - 100 * number - i for i in range(100)],
            "values": [1.0] * 100,
        }
        acknowledged += int((await program.send("/metrics", {"series": [column]}))["accepted"])
    await program.end(signal.SIGKILL)
    await program.start()

    found = await program.get("/metrics/history?metric=survivor&start=-1h&step=1h&agg=count")
    counts = found["series"][0]["values"]["count"]
    assert sum(count or 0 for count in counts) == acknowledged == 500


async def test_late_samples_are_in_every_answer_within_thirty_seconds(program: Program) -> None:
    """By TimescaleDB's scheduler on a server, by our own turns on the embedded engine."""
    await program.start()
    base = int(time.time() - 4 * 3600)

    async def send(offset: int) -> None:
        column = {"metric": "late", "component": "test", "times": [base + offset], "values": [1.0]}
        await program.send("/metrics", {"series": [column]})

    async def await_count(expected: int) -> None:
        path = "/metrics/history?metric=late&start=-6h&step=1h&agg=count"
        async with asyncio.timeout(30):
            while True:
                [series] = (await program.get(path))["series"]
                if sum(count or 0 for count in series["values"]["count"]) == expected:
                    return
                await asyncio.sleep(0.5)

    await send(0)
    async with asyncio.timeout(40):
        while ((await program.get("/dev/status"))["maintenance"] or {}).get("refreshed", 0) < 3:
            await asyncio.sleep(0.5)
    await await_count(1)
    await send(60)
    await await_count(2)


@pytest.mark.skipif(NATIVE_URL != "", reason="a database server is nobody's child")
async def test_the_database_engine_killed_comes_back_by_itself(program: Program) -> None:
    await program.start()
    await collect_fast(program)
    before = await current(program, "server_cpu_percent")
    assert program.process is not None
    [engine] = [
        child
        for child in psutil.Process(program.process.pid).children()
        if any("bridge.mjs" in argument for argument in child.cmdline())
    ]
    engine.kill()

    async with asyncio.timeout(40):
        while (await current_or_none(program, before)) is None:
            await asyncio.sleep(0.2)
    status = await program.get("/dev/status")
    assert status["services"]["engine"]["restarts"] == 1


async def current_or_none(program: Program, before: dict[str, float]) -> dict[str, float] | None:
    """A newer value, or None while the database is away or nothing newer was collected."""
    async with program.http.get("/api/v1/monitoring/metrics/current") as response:
        if response.status != 200:
            return None
        found = (await response.json())["components"]["server"]["metrics"]["server_cpu_percent"]
        return found if found["time"] > before["time"] else None


async def test_a_taken_port_is_one_clear_line_and_exit_one(program: Program) -> None:
    await program.start()
    other = program.environment | {"VIGIA_DATA_DIR": program.environment["VIGIA_DATA_DIR"] + "/b"}
    code, _, err = await run(other, "serve")

    assert code == 1
    assert "Traceback" not in err
    assert f"VIGIA_PORT: {program.port}" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("VIGIA_PROT", "3001"), ("VIGIA_PORT", "http"), ("VIGIA_ADMIN_KEY", "short")],
)
async def test_a_bad_setting_stops_the_start_with_one_line_that_names_it(
    environment: dict[str, str], variable: str, value: str
) -> None:
    code, out, err = await run(environment | {variable: value}, "serve")

    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert variable in err


async def test_keys_are_made_listed_and_revoked_beside_the_running_service(
    program: Program,
) -> None:
    await program.start()
    code, out, _ = await run(program.environment, "keys", "create", "ana", "--json")
    key = json.loads(out)["key"]
    headers = {"Authorization": f"Bearer {key}"}

    async def status() -> int:
        async with program.http.get("/api/v1/monitoring/health", headers=headers) as response:
            return response.status

    assert code == 0
    assert await status() == 200
    listed = json.loads((await run(program.environment, "keys", "list", "--json"))[1])
    assert [(k["name"], k["role"], k["revoked_at"]) for k in listed] == [("ana", "viewer", None)]
    assert key not in json.dumps(listed)
    assert (await run(program.environment, "keys", "create", "ana"))[0] == 1
    code, _, err = await run(program.environment, "keys", "create", "\x9b31mX\u202e")
    assert (code, err.splitlines()[-1][:30]) == (1, "vigia: the name of a key must ")
    assert (await run(program.environment, "keys", "revoke", "ana"))[0] == 0
    assert (await run(program.environment, "keys", "revoke", "ana"))[0] == 1
    async with asyncio.timeout(6):
        while await status() != 401:
            await asyncio.sleep(0.2)


async def test_an_unreachable_database_is_one_line_for_every_command(
    environment: dict[str, str],
) -> None:
    dead = {"VIGIA_DATABASE_URL": f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none"}
    for arguments in (("keys", "list"), ("keys", "sign-out"), ("config", "get")):
        code, _, err = await run(environment | dead, *arguments)
        assert code == 1
        assert err.splitlines()[-1].startswith("vigia: the database: ")
        assert "Traceback" not in err
        assert "secret" not in err


async def test_doctor_finds_this_machine_able(environment: dict[str, str]) -> None:
    environment = environment | {"VIGIA_PORT": str(free_port())}
    code, out, err = await run(environment, "doctor", "--json")

    findings = {finding["check"]: finding for finding in json.loads(out)}
    assert findings["Python"]["ok"] is True
    assert findings["port"]["ok"] is True
    assert findings["service"]["found"] == (
        f"no service answers on port {environment['VIGIA_PORT']}"
    )
    assert findings["admin key"]["ok"] is True
    assert code == (0 if all(f["ok"] for f in findings.values()) else 1), err
    assert (await run(environment, "doctor"))[1] != ""


async def test_doctor_says_what_to_do_about_a_taken_port_and_a_dead_server(
    program: Program,
) -> None:
    await program.start()
    dead = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    code, out, _ = await run(program.environment | {"VIGIA_DATABASE_URL": dead}, "doctor", "--json")

    findings = {finding["check"]: finding for finding in json.loads(out)}
    assert code == 1
    assert "VIGIA_PORT" in findings["port"]["advice"]
    assert findings["service"]["found"] == "ready"
    assert "VIGIA_DATABASE_URL" in findings["TimescaleDB"]["advice"]


@pytest.mark.parametrize("sink", ["a full disk", "a pipe that nobody reads"])
async def test_a_place_for_its_output_that_fails_ends_nothing(program: Program, sink: str) -> None:
    if sink == "a full disk":
        output: IO[bytes] = Path("/dev/full").open("wb")  # noqa: ASYNC230, SIM115 (a device)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        output = os.fdopen(writer, "wb")
    with output:
        program.output = output
        await program.start()
    status = await program.get("/dev/status")
    code, _ = await program.end(signal.SIGTERM)

    services: Any = status["services"]
    assert services["log"]["lines_lost"] > 0
    assert code == 0
