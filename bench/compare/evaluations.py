"""Measures the evaluation of 1,000 rules by running services, one service after the other.

All services evaluate five seconds after the minute, by their own clock. So each is stopped shortly
before (SIGSTOP), and continued when its turn comes (SIGCONT). It then evaluates at once, and alone.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence

import msgspec

from bench.compare.cases import CaseTaken
from bench.compare.questions import BASE, OK, STATUS
from bench.compare.services import Service
from bench.cpu import Used
from bench.processes import fetch

RULES = 1_000
MOVING = 5
"""The number of alerts that open in each minute, and of those that resolve."""
METRIC = "bench_rule_percent"
COMPONENTS = 100
STEP_S = 15
CALM, HOT = 50.0, 95.0
CALM_MINUTES = 10
MAKERS = 4
WARM_UPS = 2
"""Minutes until rules, plans and statistics are stable."""
HALT_AT_S, DUE_AT_S = 3.0, 5.5
TURN_S = 2.5
"""Seconds for one evaluation and the work after it; the same for each service."""
IDLE_FROM_S, IDLE_S = 25.0, 12.0
SEND_AT_S = 42.0


async def prepare(service: Service) -> None:
    """Create the rules, each over one series."""
    numbers = iter(range(RULES))

    async def make() -> None:
        for number in numbers:
            async with service.http.post(f"{BASE}/alerts/rules", json=_rule(number)) as answer:
                assert answer.status in {OK, 201}, await answer.text()

    async with asyncio.TaskGroup() as group:
        for _ in range(MAKERS):
            group.create_task(make())


async def measure(services: Sequence[Service], rounds: int) -> dict[str, list[CaseTaken]]:
    """Evaluate one minute in each round, after a warm-up; return the use of each evaluation."""
    taken: dict[str, list[CaseTaken]] = {str(service): [] for service in services}
    start_s = (time.time() // 60 + (1 if time.time() % 60 < SEND_AT_S else 2)) * 60 - 60
    await _send(services, start_s - CALM_MINUTES * 60, CALM_MINUTES, None)
    for number in range(rounds + WARM_UPS):
        # The samples of a minute are sent at its end, and evaluated in the next one.
        minute_s = start_s + number * 60
        await _until(minute_s + SEND_AT_S)
        await _send(services, minute_s, 1, number)
        found = await _evaluate(services, minute_s + 60, number)
        for service in services:
            await _check(service, number)
            if number >= WARM_UPS:
                taken[str(service)].append(found[str(service)])
    return taken


async def _evaluate(
    services: Sequence[Service], minute_s: float, number: int
) -> dict[str, CaseTaken]:
    """Let one service after the other evaluate; then measure their use while they are idle."""
    # Old and new follow each other directly, and alternate in going first.
    order = [services[position ^ (number % 2)] for position in range(len(services))]
    used: dict[str, Used] = {}
    await _until(minute_s + HALT_AT_S)
    for service in services:
        os.kill(service.pid, signal.SIGSTOP)
    halted = list(order)
    try:
        await _until(minute_s + DUE_AT_S)
        for service in order:
            before = await service.meter.read()
            os.kill(halted.pop(0).pid, signal.SIGCONT)
            await asyncio.sleep(TURN_S)
            used[str(service)] = await service.meter.read() - before
    finally:
        for service in halted:
            os.kill(service.pid, signal.SIGCONT)
    await _until(minute_s + IDLE_FROM_S)
    idle = await _idle(services)
    return {
        str(service): _taken(used[str(service)], idle[str(service)], await _duration_ms(service))
        for service in services
    }


async def _idle(services: Sequence[Service]) -> Mapping[str, Used]:
    before = {str(service): await service.meter.read() for service in services}
    await asyncio.sleep(IDLE_S)
    return {str(service): await service.meter.read() - before[str(service)] for service in services}


def _taken(used: Used, idle: Used, wall_ms: float) -> CaseTaken:
    """Return the CPU of an evaluation, without the idle use in that time."""
    part = TURN_S / IDLE_S
    service_ms = (used.service_s - idle.service_s * part) * 1000
    database_ms = (used.database_s - idle.database_s * part) * 1000
    return CaseTaken(service_ms + database_ms, service_ms, database_ms, wall_ms)


async def _duration_ms(service: Service) -> float:
    """Return the duration of the newest evaluation, as the service reports it."""
    status = msgspec.json.decode(await fetch(service.http, STATUS))
    found = [one for one in status["services"]["services"] if one["name"] == "alerts"]
    return float(found[0]["duration_s"]) * 1000 if found else float("nan")


async def _check(service: Service, number: int) -> None:
    """Raise AssertionError unless exactly the alerts of a minute are open."""
    answer = msgspec.json.decode(await fetch(service.http, f"{BASE}/alerts/active?limit=100"))
    found = {one["rule"] for one in answer["items"]}
    assert found == {f"r{rule:04}" for rule in _hot(number)}, f"{service}: {found}"


async def _send(
    services: Sequence[Service], start_s: float, minutes: int, number: int | None
) -> None:
    times = [start_s + transition for transition in range(0, 60 * minutes, STEP_S)]
    hot = set() if number is None else set(_hot(number))
    columns = [
        {**_series(rule), "times": times, "values": [HOT if rule in hot else CALM] * len(times)}
        for rule in range(RULES)
    ]
    body = msgspec.json.encode({"series": columns})
    for service in services:
        async with service.http.post(f"{BASE}/metrics", data=body) as answer:
            assert answer.status == OK, await answer.text()


def _hot(number: int) -> list[int]:
    return [(number * MOVING + one) % RULES for one in range(MOVING)]


def _series(number: int) -> dict[str, object]:
    component, one = divmod(number, RULES // COMPONENTS)
    return {"metric": METRIC, "component": f"host-{component:02}", "labels": {"n": str(one)}}


def _rule(number: int) -> dict[str, object]:
    levels = {"warning": 70, "critical": 90}
    return {"name": f"r{number:04}", "kind": "threshold", "levels": levels, **_series(number)}


async def _until(moment_s: float) -> None:
    await asyncio.sleep(max(0.0, moment_s - time.time()))
