"""On call from a terminal: contacts, a schedule, a shift that is taken, and the messages of it."""

import asyncio
import json
import signal
from typing import Any

from tests.notifications.provider import Provider, open_provider
from tests.system.conftest import Program, run

LAYER = {"start": "2024-01-01T09:00:00", "people": ["ana", "bo"]}


async def vigia(program: Program, *arguments: str) -> str:
    code, out, err = await run(program.environment, *arguments)
    assert code == 0, err
    return out


async def heard(provider: Provider, count: int, within_s: float = 30.0) -> list[Any]:
    """Return the bodies of the first messages to people that came, each key once."""
    async with asyncio.timeout(within_s):
        while len(found := _by_key(provider)) < count:
            await asyncio.sleep(0.05)
    return list(found.values())


def _by_key(provider: Provider) -> dict[str, Any]:
    bodies = [json.loads(request.body) for request in provider.requests]
    # A busy machine has alerts of its own, and the channel is told of them.
    return {body["key"]: body for body in bodies if body["kind"] in {"on_call", "account"}}


async def begin(program: Program, provider: Provider) -> None:
    program.environment |= {"VIGIA_EGRESS_ALLOW": "127.0.0.0/8"}
    await program.start()
    channel = ("channels", "create", "hook", "--type", "webhook", "--to", provider.url)
    await vigia(program, *channel)
    for name in ("ana", "bo"):
        made = await vigia(program, "contacts", "create", name, "--address", "hook")
        assert made == (
            f"contact {name} made; verify the addresses with: vigia contacts verify {name}\n"
        )
    await program.send("/schedules", {"name": "ops", "layers": [LAYER]})


async def test_from_a_contact_to_a_shift_that_is_taken(program: Program) -> None:
    async with open_provider() as provider:
        await begin(program, provider)
        [started] = await heard(provider, 1)
        sent = await vigia(program, "contacts", "verify", "ana")
        assert sent.startswith("code sent by hook; it is good until 20")
        [_, code] = await heard(provider, 2)
        verified = await vigia(program, "contacts", "confirm", "ana", code["title"].split()[-1])
        assert verified == "the address of hook is verified\n"

        now = json.loads(await vigia(program, "oncall", "now", "--schedule", "ops", "--json"))
        [before], other = now["people"], {"ana", "bo"} - set(now["people"])
        taken = await vigia(program, "oncall", "take", "ops", *other)
        shifts = await vigia(program, "oncall", "shifts", "ops", "--json")
        listed = await vigia(program, "oncall", "schedules") + await vigia(program, "oncall", "now")
        messages = await heard(provider, 4)
        canceled = await vigia(program, "oncall", "cancel", "ops", "1")
        again = json.loads(await vigia(program, "oncall", "now", "--schedule", "ops", "--json"))

    assert started["title"] == "You are on call: ops"
    assert taken.startswith(f"{other.pop()} is on call from 20")
    assert json.loads(shifts)["items"][0]["people"] != [before]
    assert "ana, bo" in listed
    assert (canceled, again["people"]) == ("override 1 of ops canceled\n", [before])
    assert {one["event"] for one in messages[2:]} == {"shift_started", "shift_ended"}


async def test_a_kill_in_a_hand_over_loses_no_message_and_changes_no_key(program: Program) -> None:
    async with open_provider(status=503) as provider:
        await begin(program, provider)
        await heard(provider, 1)
        await program.end(signal.SIGKILL)
        await program.start()
        now: Any = await program.get("/oncall?schedule=ops")
        other = "bo" if now["people"] == ["ana"] else "ana"
        await vigia(program, "oncall", "take", "ops", other)
        await program.end(signal.SIGKILL)
        provider.status = 200
        await program.start()
        async with asyncio.timeout(30):
            while {one["state"] for one in await deliveries(program)} != {"sent"}:
                await asyncio.sleep(0.2)
        bodies = _by_key(provider)

    logged = await deliveries(program)
    assert set(bodies) == {one["key"] for one in logged}
    assert sorted(one["event"] for one in logged) == [
        "shift_ended", "shift_started", "shift_started",
    ]  # fmt: skip


async def deliveries(program: Program) -> list[Any]:
    found: Any = await program.get("/deliveries")
    return [one for one in found["items"] if one["kind"] == "on_call"]
