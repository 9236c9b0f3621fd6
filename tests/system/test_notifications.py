"""Alerts of the real program reach a channel made from a terminal, also through kills."""

import asyncio
import json
import random
import signal
from collections import defaultdict
from typing import Any

import pytest

from tests.notifications.provider import Provider, open_provider
from tests.system.conftest import Program, run

SOON_S = 10.0
"""The contract: each alert within so many seconds of its commit."""


async def until_received(provider: Provider, count: int, within_s: float = SOON_S) -> list[Any]:
    async with asyncio.timeout(within_s):
        while len(provider.requests) < count:
            await asyncio.sleep(0.02)
    return [json.loads(request.body) for request in provider.requests]


async def make_channel(program: Program, url: str) -> None:
    program.environment |= {"VIGIA_EGRESS_ALLOW": "127.0.0.0/8"}
    await program.start()
    arguments = ("channels", "create", "ops", "--type", "webhook", "--to", url)
    code, out, err = await run(program.environment, *arguments)
    assert (code, out) == (0, "channel ops created; test it with: vigia channels test ops\n"), err


async def test_from_nothing_to_a_message_of_a_real_alert(program: Program) -> None:
    async with open_provider() as provider:
        await make_channel(program, provider.url)
        code, out, err = await run(program.environment, "channels", "test", "ops")
        assert code == 0, err
        assert out.startswith("sent: the provider accepted the message\nsent: {")

        alert = await program.send("/dev/test-alert", {"level": "critical", "title": "disk full"})
        *_, opened = await until_received(provider, 2)
        await program.send(f"/alerts/{alert['id']}/resolve", {})
        *_, resolved = await until_received(provider, 3)

        code, out, err = await run(program.environment, "deliveries", "list", "--json")
        listed = json.loads(out)["items"]

    assert (opened["event"], opened["alert"]["id"]) == ("opened", alert["id"])
    assert (resolved["event"], resolved["alert"]["state"]) == ("resolved", "resolved")
    assert [one["state"] for one in listed] == ["sent"] * 3


async def test_the_link_of_a_message_acknowledges_without_a_key(program: Program) -> None:
    async with open_provider() as provider:
        await make_channel(program, provider.url)
        alert = await program.send("/dev/test-alert", {"level": "critical"})
        [opened] = await until_received(provider, 1)
        async with program.http.post(
            opened["links"]["acknowledge"], headers={"Authorization": ""}
        ) as page:
            assert page.status == 200
        [_, reported] = await until_received(provider, 2)

    assert (reported["event"], reported["alert"]["id"]) == ("acknowledged", alert["id"])
    assert (await program.get(f"/alerts/{alert['id']}"))["acknowledged_by"] == "ops"


async def test_a_kill_loses_no_message_and_changes_no_key(program: Program) -> None:
    async with open_provider(status=503) as provider:
        await make_channel(program, provider.url)
        alerts = [await program.send("/dev/test-alert", {"level": "critical"}) for _ in range(3)]
        await until_received(provider, 1)
        await program.end(signal.SIGKILL)
        provider.status = 200
        await program.start()
        async with asyncio.timeout(30):
            while {one["state"] for one in await deliveries(program)} != {"sent"}:
                await asyncio.sleep(0.2)
        bodies = [json.loads(request.body) for request in provider.requests]

    keys = {body["key"]: body["alert"]["id"] for body in bodies}
    assert sorted(keys.values()) == sorted(alert["id"] for alert in alerts)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_fifty_kills_at_any_moment_lose_no_message(program: Program) -> None:
    chance = random.Random(7)
    acknowledged = set()
    async with open_provider() as provider:
        await make_channel(program, provider.url)
        for _ in range(50):
            alert = await program.send("/dev/test-alert", {"level": "critical"})
            acknowledged.add(alert["id"])
            # The moment is the subject: before, while and after the message is sent.
            await asyncio.sleep(chance.uniform(0, 1))
            await program.end(signal.SIGKILL)
            await program.start()
        async with asyncio.timeout(180):
            while (await program.get("/deliveries?state=pending"))["items"]:
                await asyncio.sleep(0.2)
        bodies = [json.loads(request.body) for request in provider.requests]

    assert acknowledged <= {number for body in bodies for number in alerts_of(body)}
    said = defaultdict(set)
    for body in bodies:
        said[body["key"]].add(alerts_of(body))
    assert all(len(alerts) == 1 for alerts in said.values())


def alerts_of(body: dict[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the alerts that a message, or a group of them, is about."""
    return tuple(alert["id"] for alert in body.get("alerts") or [body["alert"]])


async def deliveries(program: Program) -> list[Any]:
    found: Any = await program.get("/deliveries")
    items: list[Any] = found["items"]
    return items


async def test_events_of_the_bus_reach_a_receiver_once_and_in_order_through_a_kill(
    program: Program,
) -> None:
    async with open_provider() as provider:
        program.environment |= {"VIGIA_EGRESS_ALLOW": "127.0.0.0/8"}
        await program.start()
        setting = ("--setting", "types=alert*")
        arguments = ("channels", "create", "feed", "--type", "events", "--to", provider.url)
        code, _, err = await run(program.environment, *arguments, *setting)
        assert code == 0, err
        code, out, err = await run(program.environment, "channels", "test", "feed")
        assert code == 0, err
        assert '"type":"test"' in out

        provider.status = 503
        alert = await program.send("/dev/test-alert", {"level": "critical", "title": "disk full"})
        await until_received(provider, 2)
        await program.end(signal.SIGKILL)
        provider.status = 200
        await program.start()
        await program.send(f"/alerts/{alert['id']}/resolve", {})
        async with asyncio.timeout(60):
            while [one["state"] for one in await deliveries(program)] != ["sent"] * 3:
                await asyncio.sleep(0.2)
        bodies = [json.loads(request.body) for request in provider.requests]

    events = {body["key"]: body["events"] for body in bodies[1:]}
    sent = [event for of_one in events.values() for event in of_one]
    assert [event["type"] for event in sent] == ["alerts", "alert_resolved"]
    assert sent[0]["data"]["alerts"][0]["id"] == sent[1]["data"]["id"] == alert["id"]
