"""`vigia alerts` with a running service: its output, and the changes that it makes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from db.queries import Pool
from model.principal import Role
from model.times import utc_now
from tests.alerts.simulation import START, Simulation, rule_of
from vigia.cli.main import main

Ask = Callable[..., Awaitable[str]]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["alerts", *arguments], env={"COLUMNS": "200"})


@pytest.fixture
def ask(service: Any) -> Ask:
    async def asked(*arguments: str, role: Role = Role.OPERATOR, code: int = 0) -> str:
        who = ("--url", service.url, "--key", service.keys[role])
        found = await asyncio.to_thread(run, *arguments, *who)
        assert found.exit_code == code, found.output
        return found.output

    return asked


async def test_an_alert_is_seen_taken_on_ended_and_opened_again(service: Any, ask: Ask) -> None:
    number = str((await service.post("/dev/test-alert")).body["id"])

    assert number in await ask("active", role=Role.VIEWER)
    assert await ask("ack", number, "--comment", "mine") == f"alert {number} is acknowledged\n"
    assert await ask("resolve", number) == f"alert {number} is resolved\n"
    assert "there was none" in await ask("comment", number, "there was none")
    assert number not in await ask("active")
    assert "resolved" in await ask("history", "--limit", "5")

    lines = (await ask("show", number)).splitlines()
    transitions = ("opened", "acknowledged", "resolved", "commented")
    assert [
        transition for line in lines for transition in transitions if f" {transition} " in line
    ][-4:] == list(transitions)
    assert any("acknowledged" in line and "operator" in line and "mine" in line for line in lines)


@pytest.mark.parametrize("transition", ["ack", "resolve", "reopen"])
async def test_a_refusal_of_the_service_is_printed_in_its_words(
    service: Any, ask: Ask, transition: str
) -> None:
    number = str((await service.post("/dev/test-alert")).body["id"])
    if transition != "reopen":
        await ask("resolve", number)

    assert (await ask(transition, number, code=1)).startswith(f"vigia: alert {number} is ")
    assert "there is no alert 999999" in await ask(transition, "999999", code=1)
    assert "role" in await ask(transition, number, role=Role.VIEWER, code=1)


async def test_lists_are_narrowed_and_say_when_there_is_more(service: Any, ask: Ask) -> None:
    for component in ("shop", "bank"):
        await service.post("/dev/test-alert", {"component": component, "level": "critical"})

    def about(text: str) -> list[str]:
        return sorted(item["component"] for item in json.loads(text)["items"])

    assert about(await ask("active", "--json")) == ["bank", "shop"]
    assert about(await ask("active", "--component", "shop", "--json")) == ["shop"]
    assert about(await ask("active", "--level", "info", "--json")) == []
    assert about(await ask("active", "--suppressed", "--json")) == []
    assert about(await ask("history", "--not-suppressed", "--json")) == ["bank", "shop"]
    assert about(await ask("history", "--end", "-1d", "--json")) == []
    assert "there are more" in await ask("active", "--limit", "1")
    assert "there are more" not in await ask("active", "--limit", "2")


async def test_a_silence_is_made_listed_and_ended(service: Any, ask: Ask) -> None:
    await service.post("/dev/test-alert", {"component": "shop"})
    what = ("--component", "shop", "--component", "bank", "--for", "2h", "--comment", "moving")

    made = await ask("silence", *what)
    number = made.split()[1]

    assert made.startswith(f"silence {number} until {utc_now():%Y-%m}")
    assert f"silence:{number}" in await ask("active")
    shown = await ask("silences")
    assert '{"component":["shop","bank"]}' in shown
    assert "operator" in shown
    assert await ask("unsilence", number) == f"silence {number} ended\n"
    assert "silence:" not in await ask("active")
    assert "moving" not in await ask("silences")
    assert "moving" in await ask("silences", "--all")


async def test_a_silence_names_labels(ask: Ask) -> None:
    asked = ("silence", "--for", "1h", "--comment", "why", "--label", "host=a=b", "--json")

    assert json.loads(await ask(*asked))["matcher"] == {"labels": {"host": "a=b"}}


async def test_analytics_are_a_table(ask: Ask, pool: Pool) -> None:
    asked = ("analytics", "--by", "component", "--start", START.isoformat())
    assert await ask(*asked) != ""
    async with pool.connection() as connection:
        simulation = Simulation(connection)
        await simulation.add(rule_of(simulation.terms))
        await simulation.pass_minute(15.0)

    found = await ask(*asked, "--tz", "Europe/Berlin")
    [line] = [line for line in found.splitlines() if "thing-00" in line]
    [item] = json.loads(await ask(*asked, "--json"))["items"]
    assert line.split()[:2] == ["thing-00", str(item["alerts"])]


async def test_words_of_others_do_nothing_to_the_terminal(service: Any, ask: Ask) -> None:
    loud, acting = "[red]loud[/red]", "\x1b[31mloud\x1b]0;title\x07"
    number = str((await service.post("/dev/test-alert")).body["id"])
    await service.post(f"/alerts/{number}/comment", {"comment": loud})
    refused = await service.post(f"/alerts/{number}/comment", {"comment": acting})

    shown = await ask("show", number)

    assert refused.status == 400
    assert loud in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["show", "first"], "not a valid integer"),
        (["active", "--level", "loud"], "loud"),
        (["active", "--limit", "0"], "1<=x<=1000"),
        (["silence", "--component", "shop", "--comment", "x"], "--for"),
        (["silence", "--for", "1h"], "--comment"),
        (["silence", "--for", "1h", "--comment", "x", "--label", "host"], "NAME=VALUE"),
        (["analytics", "--by", "colour"], "colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str], word: str) -> None:
    found = run(*arguments)

    assert found.exit_code == 2
    assert word in found.output
