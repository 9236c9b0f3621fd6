"""A host is silent iff it sent nothing for longer than max(2 min, 3 x its usual interval)."""

from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from db.queries import Pool
from hosts import store
from tests.hosts.hosts_story import SLOT_S, HostsStory, at

RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
EDGE_S = 0.01


@pytest.fixture
def story(pool: Pool) -> HostsStory:
    return HostsStory(pool)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    interval_s=st.floats(1, 300),
    samples=st.integers(store.SAMPLES_MIN, 20),
    silences_s=st.lists(st.floats(0, 1000), min_size=1, max_size=5).map(sorted),
)
async def test_the_law_of_silence(
    pool: Pool, interval_s: float, samples: int, silences_s: list[float]
) -> None:
    limit_s = max(120.0, 3 * interval_s)
    assume(all(abs(one - limit_s) > EDGE_S for one in silences_s))
    async with pool.connection() as connection:
        await connection.execute(RESET)
    story = HostsStory(pool)
    await story.judge()
    for _ in range(samples):
        for _ in range(int(interval_s // 60)):
            story.now_s += 60
            await story.judge()
        story.now_s += interval_s % 60
        await story.send("web2")
        await story.judge()
    last_s = story.now_s

    for silence_s in silences_s:
        while last_s + silence_s - story.now_s > 60:
            story.now_s += 60
            await story.judge()
        story.now_s = last_s + silence_s
        await story.judge()
        expected = {"web2": pytest.approx(last_s)} if silence_s > limit_s else {}
        assert await story.silent() == expected

    story.now_s += 1
    await story.send("web2")
    await story.judge()
    assert await story.silent() == {}


async def test_a_host_that_stops_has_samples_until_it_is_back(story: HostsStory) -> None:
    await story.pass_slots(10, "web1", "web2")
    assert story.put == []
    await story.pass_slots(8, "web1")
    assert story.newest() == []
    await story.pass_slots(1, "web1")
    assert story.newest() == [("web2", 135.0)]
    [sample] = story.put
    assert sample.reason == "no sample since 2026-01-01 00:02:30 UTC; usually one every 15 s"
    await story.pass_slots(1, "web1")
    assert story.newest() == [("web2", 150.0)]

    await story.pass_slots(1, "web1", "web2")
    assert story.newest() == [("web2", 0.0)]
    await story.pass_slots(25, "web1", "web2")
    assert story.newest() == []
    [web1, web2] = await story.hosts()
    assert (web1.name, web1.last_seen, web1.usual_interval_s) == (
        "web1", at(story.now_s), pytest.approx(15),
    )  # fmt: skip
    assert web2.silent_since is None


async def test_who_sent_fewer_than_ten_samples_is_not_missed(story: HostsStory) -> None:
    await story.pass_slots(9, "web2")
    await story.pass_slots(40)
    assert await story.silent() == {}

    await story.send("web2")
    await story.pass_slots(40)
    assert list(await story.silent()) == ["web2"]


async def test_what_is_dated_in_the_past_is_no_sign_of_life(story: HostsStory) -> None:
    await story.pass_slots(10, "web2")
    for _ in range(9):
        await story.send("web2", "web3", late_s=200)
        await story.pass_slots(1)

    assert list(await story.silent()) == ["web2"]
    assert [host.name for host in await story.hosts()] == ["web2"]
    await story.send("web2", late_s=3600)
    await story.pass_slots(1)
    assert list(await story.silent()) == ["web2"]


async def test_a_component_without_hosts_is_watched_too(story: HostsStory) -> None:
    for _ in range(10):
        await story.send("", component="shop")
        await story.send("", component="database")
        await story.pass_slots(1)
    await story.pass_slots(10)

    [shop] = await story.hosts()
    assert (shop.name, shop.kind, shop.labels) == ("shop", "component", {})
    assert story.newest() == [("shop", pytest.approx(165))]


async def test_time_in_which_the_service_was_off_does_not_count(story: HostsStory) -> None:
    await story.pass_slots(10, "web1", "web2")
    story.now_s += 3600
    story.watch = story.new_watch()
    await story.judge()
    assert await story.silent() == {}
    await story.pass_slots(8, "web1")
    assert await story.silent() == {}

    # What did not come back is missed once the service has waited for it.
    await story.pass_slots(1, "web1")
    assert await story.silent() == {"web2": 150.0}
    by_name = {host.name: host for host in await story.hosts()}
    assert by_name["web1"].usual_interval_s == pytest.approx(15)


async def test_a_quick_restart_begins_anew_as_well(story: HostsStory) -> None:
    await story.pass_slots(10, "web2")
    await story.pass_slots(5)
    story.watch = story.new_watch()
    await story.pass_slots(8)
    assert await story.silent() == {}

    await story.pass_slots(2)
    assert list(await story.silent()) == ["web2"]


async def test_who_was_silent_stays_silent_through_a_restart(story: HostsStory) -> None:
    await story.pass_slots(10, "web2")
    await story.pass_slots(10)
    story.now_s += 3600
    story.watch = story.new_watch()

    await story.pass_slots(1)
    assert story.newest() == [("web2", 3600 + 11 * SLOT_S)]


async def test_an_outage_of_the_database_makes_nobody_silent(story: HostsStory, away: Pool) -> None:
    await story.pass_slots(10, "web1", "web2")
    story.watch.pool = away
    for _ in range(40):
        story.now_s += SLOT_S
        await story.send("web1")
        with pytest.raises(psycopg.Error):
            await story.watch.write(at(story.now_s))
    story.watch.pool = story.pool

    await story.pass_slots(1, "web1")
    assert await story.silent() == {}
    assert {h.name: h.last_seen for h in await story.hosts()}["web1"] == at(story.now_s)
    await story.pass_slots(7, "web1")
    assert await story.silent() == {}
    await story.pass_slots(2, "web1")
    assert list(await story.silent()) == ["web2"]


async def test_one_long_silence_does_not_make_the_next_one_unseen(story: HostsStory) -> None:
    await story.pass_slots(20, "web2")
    await story.pass_slots(240)
    await story.pass_slots(1, "web2")
    [host] = await story.hosts()
    assert host.usual_interval_s is not None
    assert 3 * host.usual_interval_s < 120

    await story.pass_slots(9)
    assert list(await story.silent()) == ["web2"]


async def test_a_host_that_sends_less_often_from_now_on_is_learned(story: HostsStory) -> None:
    await story.pass_slots(20, "web2")
    alarms = 0
    for _ in range(20):
        await story.pass_slots(39)
        alarms += bool(await story.silent())
        await story.pass_slots(1, "web2")

    assert alarms < 10
    await story.pass_slots(39)
    assert await story.silent() == {}


async def test_a_clock_that_is_set_back_alarms_nobody(story: HostsStory) -> None:
    await story.pass_slots(10, "web2")
    story.now_s -= 3600
    await story.pass_slots(20, "web2")
    assert await story.silent() == {}

    await story.pass_slots(10)
    assert list(await story.silent()) == ["web2"]


async def test_a_removed_host_is_back_when_it_sends(story: HostsStory, pool: Pool) -> None:
    await story.pass_slots(10, "web2")
    await story.pass_slots(10)
    async with pool.connection() as connection:
        assert await store.remove(connection, "web2", at(story.now_s)) == ["host"]
        assert await store.remove(connection, "web2", at(story.now_s)) == []
    await story.pass_slots(20)
    assert await story.hosts() == []
    assert story.newest() == []

    await story.pass_slots(9, "web2")
    await story.pass_slots(20)
    assert await story.silent() == {}
    await story.pass_slots(1, "web2")
    await story.pass_slots(10)
    assert list(await story.silent()) == ["web2"]
