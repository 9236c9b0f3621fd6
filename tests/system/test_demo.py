"""`vigia demo` beside the running program: seen live, moving, and gone when it is dropped."""

import asyncio
import signal
from typing import Any

import psycopg
import pytest

from tests.system.conftest import NATIVE_URL, Program, free_port, run, vigia


async def trading(program: Program) -> dict[str, Any]:
    found = await program.get("/metrics/current")
    metrics: dict[str, Any] = found["components"].get("trading", {}).get("metrics", {})
    return metrics


async def health(program: Program) -> dict[str, Any]:
    found = await program.get("/health")
    component: dict[str, Any] = found["components"].get("trading", {"status": None})
    return component


async def test_a_new_user_sees_the_demo_live_and_labelled(program: Program) -> None:
    await program.start()
    await program.send("/config/intervals", {"value": {"collect_s": 3, "health_s": 5}}, "PUT")
    assert await trading(program) == {}
    demo = await vigia(program.environment, "demo")
    assert demo.stdout is not None
    printed: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not printed or "until Ctrl-C" not in printed[-1]:
                printed.append((await demo.stdout.readline()).decode())
        seen = set()
        async with asyncio.timeout(60):
            while len(seen) < 3:
                metrics = await trading(program)
                seen |= {metrics.get("trading_volume_24h", {}).get("value")} - {None}
                await asyncio.sleep(0.2)
        async with asyncio.timeout(30):
            while (found := await health(program))["status"] is None:
                await asyncio.sleep(0.2)
    finally:
        demo.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(demo.communicate(), 30)

    assert metrics["trading_simulated"]["value"] == 1
    assert found["status"] == "healthy", found
    assert found["reason"] == "simulated by vigia demo"
    assert demo.returncode == 0, err
    assert any("all simulated" in line for line in printed)
    assert (await run(program.environment, "demo", "--drop"))[0] == 0


@pytest.mark.skipif(NATIVE_URL != "", reason="a database server needs nobody to start it")
async def test_without_the_service_the_day_is_made_and_the_way_to_see_it_said(
    environment: dict[str, str],
) -> None:
    code, out, err = await run(environment, "demo")

    assert code == 0, err
    assert "Vigia is not running: start it with `vigia serve`" in out


async def test_a_database_of_ones_own_may_have_the_demo(environment: dict[str, str]) -> None:
    if not NATIVE_URL:
        dead = f"postgresql://ana:hunter2@127.0.0.1:{free_port()}/shop"
        code, _, err = await run(environment, "demo", "--url", dead)
        assert (code, len(err.splitlines()), "hunter2" in err) == (1, 1, False), err
        return
    url = environment["VIGIA_DATABASE_URL"]
    code, out, _ = await run(environment, "demo", "--url", url, "--once", "--seed", "5")

    assert code == 0
    assert "VIGIA_TRADING_DATABASE_URL" in out
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT count(*) > 40000 FROM trading_demo.trades")
        assert await cursor.fetchone() == (True,)
