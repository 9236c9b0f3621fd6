"""From an alert to whoever is on call, and on to the next person, on the real program."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.notifications.provider import Provider, open_provider
from tests.system.conftest import Program, run

LAYER = {"start": "2024-01-01T09:00:00", "people": ["ana"]}
STEP_S = 60
"""The shortest delay that a policy may have."""


async def vigia(program: Program, *arguments: str) -> str:
    code, out, err = await run(program.environment, *arguments)
    assert code == 0, err
    return out


async def begin(program: Program, provider: Provider) -> None:
    """Make ana on call, a policy that tells her and then bo, and a route to it."""
    program.environment |= {"VIGIA_EGRESS_ALLOW": "127.0.0.0/8"}
    await program.start()
    for name in ("ana", "bo"):
        hook = ("--type", "webhook", "--to", f"{provider.url}/{name}")
        await vigia(program, "channels", "create", f"of-{name}", *hook)
        await vigia(program, "contacts", "create", name, "--address", f"of-{name}")
    await program.send("/schedules", {"name": "ops", "layers": [LAYER]})
    steps = ("--step", "schedule:ops=1m", "--step", "person:bo=1m")
    made = await vigia(program, "oncall", "policies", "set", "wake", *steps)
    assert made == "policy wake has 2 steps\n"
    matched = ("--match", "level=critical", "--match", "component=test")
    routed = await vigia(program, "routes", "set", "all", "--policy", "wake", *matched)
    assert routed == "route all is number 1: policy wake\n"


async def raise_alert(program: Program, title: str) -> int:
    body = {"level": "critical", "component": "test", "title": title}
    made: Any = await program.send("/dev/test-alert", body)
    return int(made["id"])


def told(provider: Provider) -> list[tuple[str, str, int, str]]:
    """Return whom each message about an alert went to, its event, step and title, each key once."""
    found = {}
    for request in provider.requests:
        body = json.loads(request.body)
        if body.get("alert") is not None:
            about = (request.path, body["event"], body.get("step", 0), body["alert"]["title"])
            found[body["key"]] = about
    return list(found.values())


async def until_told(provider: Provider, wanted: tuple[str, str, int, str], within_s: int) -> float:
    """Wait for a message; return when it was there."""
    async with asyncio.timeout(within_s):
        while wanted not in told(provider):
            await asyncio.sleep(0.05)
    return time.monotonic()


async def test_a_preview_says_whom_an_alert_then_reaches(program: Program) -> None:
    async with open_provider() as provider:
        await begin(program, provider)
        asked = ("routes", "preview", "--component", "test", "--json")
        found = json.loads(await vigia(program, *asked))
        shown = await vigia(program, *asked[:-1])
        await raise_alert(program, "It burns")
        await until_told(provider, ("/ana", "opened", 1, "It burns"), within_s=30)
        evaluated = await vigia(program, "oncall", "woken", "wake", "--json")

    assert [(one["step"], one["channel"], one["person"]) for one in found["messages"]] == [
        (1, "of-ana", "ana"), (2, "of-bo", "bo"),
    ]  # fmt: skip
    assert "it takes the route all: policy wake" in shown
    assert [one["person"] for one in json.loads(evaluated)["people"]] == ["ana"]


async def test_routes_and_policies_are_read_changed_and_deleted(
    program: Program, tmp_path: Path
) -> None:
    async with open_provider() as provider:
        await begin(program, provider)
        file = tmp_path / "wake.toml"
        file.write_text(
            'repeat = 2\n[[steps]]\ndelay = "10m"\ntargets = [{kind = "person", name = "bo"}]\n'
        )
        await vigia(program, "oncall", "policies", "set", "wake", "--file", str(file))
        changed = ("--channel", "of-bo", "--match", "label.team=x", "--group-by", "rule")
        await vigia(program, "routes", "set", "all", *changed, "--disable")
        policies = await vigia(program, "oncall", "policies", "list")
        policy = await vigia(program, "oncall", "policies", "show", "wake")
        routes = await vigia(program, "routes", "list")
        route = json.loads(await vigia(program, "routes", "show", "all", "--json"))
        refused = await run(program.environment, "oncall", "policies", "delete", "wake")
        for words in (("routes", "delete", "all"), ("oncall", "policies", "delete", "wake")):
            assert (await vigia(program, *words)).endswith(" deleted\n")

    assert "person bo" in policies
    assert "repeated: 2; an acknowledgement expires after 2h" in policy
    assert "label.team=x" in routes
    assert (route["policy"], route["enabled"], route["group_by"]) == ("wake", False, ["rule"])
    assert (refused[0], "a route leads to the policy 'wake'" in refused[2]) == (1, True)


async def test_everything_is_kept_in_a_file_beside_the_service(
    program: Program, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    async with open_provider() as provider:
        await begin(program, provider)
        await vigia(program, "routes", "export", str(file))
        same = await vigia(program, "routes", "import", str(file), "--prune", "--dry-run")
        file.write_text(file.read_text().replace('name = "wake"', 'name = "wake"\nrepeat = 4'))
        changed = await vigia(program, "routes", "import", str(file))
        policy: Any = await program.get("/policies/wake")

    assert same == "nothing to change\n"
    assert changed == "~ policy wake\n    repeat: 0 -> 4\n"
    assert policy["repeat"] == 4
    assert provider.url not in file.read_text()


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_the_next_step_follows_after_a_kill_unless_somebody_acknowledges(
    program: Program,
) -> None:
    async with open_provider() as provider:
        await begin(program, provider)
        answered = await raise_alert(program, "answered")
        await raise_alert(program, "unheard")
        first = [("/ana", "opened", 1, title) for title in ("answered", "unheard")]
        for message in first:
            begun = await until_told(provider, message, within_s=30)
        await vigia(program, "alerts", "ack", str(answered))
        await program.end(signal.SIGKILL)
        await program.start()
        escalated = await until_told(provider, ("/bo", "opened", 2, "unheard"), within_s=2 * STEP_S)
        # The other step would have been due before this one.
        found = told(provider)

    assert escalated - begun > STEP_S - 10
    assert ("/bo", "opened", 2, "answered") not in found
    assert sorted(one for one in found if one[1] == "opened") == sorted(
        [*first, ("/bo", "opened", 2, "unheard")]
    )
