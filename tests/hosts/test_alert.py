"""The built-in rule opens `web2 stopped sending`, and marks what else is open of a silent host."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from alerts import store as alerts
from alerts.evaluation.evaluator import add_built_in_rules, evaluate
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.store import Alert, Filter
from db.queries import Pool
from hosts import store as hosts
from model.series import Sample, Series
from model.severity import Level
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.hosts.hosts_story import START, HostsStory, at, series_of

CPU: Mapping[str, object] = {"server_cpu_percent": {"op": ">", "warning": 60}}
LEAD_S = 2.0
"""Silence is judged just before a minute ends."""


def cpu_of(host: str) -> Series:
    labels = (("host", host),) if host else ()
    return Series(metric="server_cpu_percent", component="server", labels=labels)


class AlertStory(HostsStory):
    """The same with the evaluation of rules, after each minute."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.now_s = -LEAD_S

    async def pass_minutes(self, count: int, *senders: str, busy: Sequence[str] = ()) -> None:
        """Let minutes pass in which some hosts send, and some of these are busy."""
        for _ in range(count):
            self.put.clear()
            await self.pass_slots(4, *senders)
            own = [Sample(cpu_of(one), at(self.now_s), 90.0) for one in busy]
            async with self.pool.connection() as connection:
                async with connection.transaction():
                    await insert(connection, SeriesNumbers(), [*self.put, *own])
                await evaluate(connection, at(self.now_s + LEAD_S), CPU, on_transitions=[])

    async def active(self) -> dict[str, Alert]:
        async with self.pool.connection() as connection:
            found = await alerts.active(connection, Filter(), 100)
        return {alert.title: alert for alert in found}


@pytest.fixture
async def story(pool: Pool) -> AlertStory:
    async with pool.connection() as connection:
        await add_built_in_rules(connection)
    return AlertStory(pool)


async def test_a_host_that_goes_dark_has_an_alert_until_it_sends_again(story: AlertStory) -> None:
    await story.pass_minutes(3, "web1", "web2")
    await story.pass_minutes(2, "web1")
    assert await story.active() == {}

    await story.pass_minutes(1, "web1")
    [(title, alert)] = (await story.active()).items()
    assert title == "web2 stopped sending"
    assert (alert.rule, alert.level, alert.component, alert.labels) == (
        "stopped-sending", Level.CRITICAL, "server", {"host": "web2"},
    )  # fmt: skip
    assert alert.message == "no sample since 2026-01-01 00:02:58 UTC; usually one every 15 s"
    assert alert.opened_at == START + timedelta(minutes=6)

    await story.pass_minutes(5, "web1")
    assert (await story.active())["web2 stopped sending"].id == alert.id
    await story.pass_minutes(1, "web1", "web2")
    assert await story.active() == {}


async def test_what_was_silent_when_the_service_started_has_an_alert_after_a_while(
    story: AlertStory,
) -> None:
    await story.pass_minutes(3, "web1", "web2")
    story.now_s += 3600
    story.watch = story.new_watch()
    await story.pass_minutes(2, "web1")
    assert await story.active() == {}

    await story.pass_minutes(2, "web1")
    assert list(await story.active()) == ["web2 stopped sending"]


async def test_an_open_alert_survives_a_restart_in_which_minutes_are_missed(
    story: AlertStory,
) -> None:
    await story.pass_minutes(3, "web2")
    await story.pass_minutes(4)
    [before] = (await story.active()).values()
    story.now_s += 600
    story.watch = story.new_watch()
    await story.pass_minutes(1)

    [after] = (await story.active()).values()
    assert after.id == before.id


async def test_alerts_about_values_of_a_silent_host_are_suppressed_until_it_is_back(
    story: AlertStory,
) -> None:
    await story.pass_minutes(3, "web1", "web2", busy=["web1", "web2", ""])
    assert {rule for rule, _ in await _suppressed(story)} == {"cpu"}
    await story.pass_minutes(3, "web1", busy=["web1", ""])

    found = await _suppressed(story)
    assert found == {
        ("cpu", "web1"): [], ("cpu", ""): [], ("cpu", "web2"): ["silent:web2"],
        ("stopped-sending", "web2"): [],
    }  # fmt: skip

    await story.pass_minutes(1, "web1", "web2", busy=["web1", ""])
    assert set(map(tuple, (await _suppressed(story)).values())) == {()}


async def test_a_silent_component_suppresses_nothing_of_its_hosts(story: AlertStory) -> None:
    for _ in range(12):
        await story.send("", component="shop")
        await story.pass_slots(1, "web2")
    shop = Series(metric="server_cpu_percent", component="shop")
    of_web2 = Series(metric="server_cpu_percent", component="shop", labels=(("host", "web2"),))
    async with story.pool.connection() as connection, connection.transaction():
        some = [Sample(one, at(story.now_s + LEAD_S), 90.0) for one in (shop, of_web2)]
        await insert(connection, SeriesNumbers(), some)
    await story.pass_minutes(3, "web2")

    async with story.pool.connection() as connection:
        found = await alerts.active(connection, Filter(component="shop"), 100)
    assert {(one.title, *one.suppressed_by) for one in found} == {
        ("shop stopped sending",), ("shop: cpu", "silent:shop"), ("shop on web2: cpu",),
    }  # fmt: skip


async def test_rules_over_long_windows_no_longer_look_at_a_removed_host(story: AlertStory) -> None:
    async with story.pool.connection() as connection:
        for rule in (
            Rule(name="gone", metric="load", kind="absence", window="5m", no_data="alert"),
            Rule(name="high", metric="load", agg="max", window="15m", levels={Level.INFO: -1}),
        ):
            await rules.insert(connection, rule, START, "ana")
        some = [Sample(series_of(one), at(0), 0.0) for one in ("web1", "web2")]
        await insert(connection, SeriesNumbers(), some)
    await story.pass_minutes(3, "web1", "web2")
    assert len(await _suppressed(story)) == 2
    async with story.pool.connection() as connection, connection.transaction():
        kinds = await hosts.remove(connection, "web2", at(story.now_s))
        await alerts.resolve_of_hosts(connection, "web2", kinds, at(story.now_s), "ana")
    await story.pass_minutes(8, "web1")

    assert {host for _, host in await _suppressed(story)} == {"web1"}


async def _suppressed(story: AlertStory) -> dict[tuple[str, str], list[str]]:
    async with story.pool.connection() as connection:
        found = await alerts.active(connection, Filter(), 100)
    return {(one.rule, one.labels.get("host", "")): one.suppressed_by for one in found}
