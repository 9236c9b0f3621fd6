"""The status of a component follows its collector and thresholds, and every check is a row."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.suppression import maintenance as windows
from alerts.suppression.maintenance import Window
from alerts.suppression.suppress import Matcher
from config.model import Config
from db.queries import Connection, Pool
from events import bus
from health import status as health
from health.checks import check
from health.status import ExpectedComponent
from model.series import Category, Sample, Series
from model.severity import Level, Status
from model.times import utc_now
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOT = timedelta(seconds=30)
THRESHOLDS = Config().thresholds_document()


def series(metric: str, component: str) -> Series:
    return Series(metric=metric, component=component, category=Category.SYSTEM)


class Watch:
    """Slots that pass; each may bring samples before its check."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = START

    async def observe(self, component: str, *, up: bool = True, cpu: float | None = None) -> None:
        samples = [
            Sample(series("component_up", component), self.now, float(up), "" if up else "refused")
        ]
        if cpu is not None:
            samples.append(Sample(series("server_cpu_percent", component), self.now, cpu))
        await insert(self.connection, SeriesNumbers(), samples)

    async def check(self) -> dict[str, Status | None]:
        """Check this slot and go on to the next; return the components that changed."""
        found = await check(self.connection, self.now, SLOT.total_seconds(), THRESHOLDS)
        self.now += SLOT
        return {one.component: one.status for one in found if one.changed}


@pytest.fixture
async def watch(pool: Pool) -> AsyncIterator[Watch]:
    async with pool.connection() as connection:
        yield Watch(connection)


async def test_a_component_is_as_bad_as_its_worst_threshold(watch: Watch) -> None:
    for cpu, status in ((10, Status.HEALTHY), (70, Status.WARNING), (99, Status.CRITICAL)):
        watch.now += timedelta(minutes=1)
        await watch.observe("server", cpu=cpu)
        assert await watch.check() == {"server": status}

    [server] = await health.read(watch.connection)
    assert server.reason == "CPU at 99 (limit 80)"


async def test_a_failing_collector_is_down_with_its_reason_and_comes_back(watch: Watch) -> None:
    await watch.observe("database")
    assert await watch.check() == {"database": Status.HEALTHY}
    await watch.observe("database", up=False)
    assert await watch.check() == {"database": Status.DOWN}
    [database] = await health.read(watch.connection)
    assert (database.reason, database.since) == ("refused", START + SLOT)
    await watch.observe("database")
    assert await watch.check() == {"database": Status.HEALTHY}


async def test_a_silent_component_is_not_observed_and_is_ignored_in_the_whole(
    watch: Watch,
) -> None:
    await watch.observe("server")
    await watch.check()
    watch.now += timedelta(minutes=5)
    await watch.observe("database")

    assert await watch.check() == {"database": Status.HEALTHY, "server": None}
    whole = health.document(await health.read(watch.connection))
    assert whole.status == Status.HEALTHY
    assert whole.components["server"].status is None


async def test_a_component_that_stops_is_seen_though_the_clock_was_wrong_before(
    watch: Watch,
) -> None:
    await watch.observe("server")
    watch.now += timedelta(hours=1)
    for component in ("server", "agent"):
        await watch.observe(component)
    watch.now -= timedelta(hours=1)

    assert await watch.check() == {"server": Status.HEALTHY, "agent": None}
    watch.now += timedelta(minutes=2)
    assert await watch.check() == {"server": None}


async def test_after_a_wrong_clock_the_reason_is_that_of_what_comes_now(watch: Watch) -> None:
    watch.now = utc_now().replace(microsecond=0)
    watch.now += timedelta(hours=1)
    await watch.observe("server")
    watch.now -= timedelta(hours=1)
    await watch.observe("server", up=False)

    assert await watch.check() == {"server": Status.DOWN}
    [server] = await health.read(watch.connection)
    assert server.reason == "refused"


async def test_nothing_observed_at_all_has_no_status(watch: Watch) -> None:
    assert await watch.check() == {}
    assert health.document([]).status is None


async def test_a_component_that_is_known_but_was_never_seen_has_a_reason_and_no_checks(
    watch: Watch,
) -> None:
    known = [ExpectedComponent("trading", Category.TRADING, "not configured")]
    await watch.observe("server")
    for _ in range(2):
        found = await check(watch.connection, watch.now, 30, THRESHOLDS, known)
        assert [(f.component, f.status, f.reason) for f in found] == [
            ("server", Status.HEALTHY, ""),
            ("trading", None, "not configured"),
        ]
        watch.now += SLOT
    assert [one.changed for one in found] == [False, False]
    cursor = await watch.connection.execute("SELECT DISTINCT component FROM component_checks")
    assert await cursor.fetchall() == [("server",)]


async def test_a_slow_interval_leaves_a_component_observed(watch: Watch) -> None:
    await watch.observe("server", cpu=70)
    stale = health.stale_after(300)
    found = await check(watch.connection, START + 10 * SLOT, 30, THRESHOLDS, (), stale)

    assert [(one.component, one.status) for one in found] == [("server", Status.WARNING)]
    assert health.stale_after(15) == timedelta(seconds=60)


async def test_slots_in_which_the_database_was_away_count_as_down(watch: Watch) -> None:
    await watch.observe("database")
    await watch.check()
    missed = {START + SLOT: 30.0, START + 2 * SLOT: 30.0}
    await health.record_outage(watch.connection, missed, "it did not answer")
    watch.now = START + 3 * SLOT
    await watch.observe("database")
    await watch.check()

    [database] = await health.read(watch.connection)
    assert database.uptime_24h == pytest.approx(50)
    [then] = await health.read_at(watch.connection, START + 2.5 * SLOT)
    assert (then.status, then.reason) == (Status.DOWN, "it did not answer")


async def test_a_forgotten_component_is_no_longer_shown_and_comes_back_when_seen(
    watch: Watch,
) -> None:
    await watch.observe("binance")
    await watch.check()
    await health.forget(watch.connection, "binance")
    assert await watch.check() == {}
    assert await health.read(watch.connection) == []

    await watch.observe("binance")
    assert await watch.check() == {"binance": Status.HEALTHY}


async def test_a_component_that_was_removed_is_still_known_of_the_past(watch: Watch) -> None:
    await watch.observe("binance", up=False)
    await watch.check()
    await health.forget(watch.connection, "binance")

    [then] = await health.read_at(watch.connection, START + 0.5 * SLOT)
    assert (then.component, then.category, then.status) == ("binance", "system", Status.DOWN)


async def test_a_change_is_on_the_bus_with_the_changed_components_only(watch: Watch) -> None:
    await watch.observe("server")
    await watch.observe("database")
    await watch.check()
    await watch.observe("server")
    await watch.observe("database", up=False)
    await watch.check()

    found = await bus.after(watch.connection, 1, 10)
    assert [event.type for event in found] == ["health"]
    assert found[0].payload["status"] == "down"
    components = found[0].payload["components"]
    assert isinstance(components, dict)
    assert list(components) == ["database"]


async def test_a_slot_checked_twice_counts_once(watch: Watch) -> None:
    await watch.observe("server")
    await watch.check()
    watch.now -= SLOT
    assert await watch.check() == {}

    cursor = await watch.connection.execute("SELECT sum(stands_for_s) FROM component_checks")
    assert await cursor.fetchone() == (30,)


async def test_uptime_is_the_share_of_observed_time_not_down(watch: Watch) -> None:
    for slot in range(40):
        await watch.observe("server", up=slot % 4 != 3)
        await watch.check()

    [server] = await health.read(watch.connection)
    assert server.uptime_24h == pytest.approx(75)


async def test_the_state_of_a_past_moment_can_be_asked(watch: Watch) -> None:
    for up in (True, True, False, False, True):
        await watch.observe("server", up=up)
        await watch.check()

    [then] = await health.read_at(watch.connection, START + 3.5 * SLOT)
    assert (then.status, then.since, then.reason) == (Status.DOWN, START + 2 * SLOT, "refused")
    assert await health.read_at(watch.connection, START - SLOT) == []


async def test_planned_work_is_shown_told_and_known_of_the_past(watch: Watch) -> None:
    """Work on a part of a component is none of the whole."""
    for name, matcher in (
        ("move", Matcher(component=["server", "database"])),
        ("part", Matcher(component="trading", level=Level.INFO)),
    ):
        begin, end = START + SLOT, START + 2 * SLOT
        window = Window(name=name, matcher=matcher, starts_at=begin, ends_at=end)
        await windows.insert(watch.connection, window, START, "ana")
    changes = []
    for _ in range(4):
        for component in ("server", "trading"):
            await watch.observe(component)
        changes.append(set(await watch.check()))
        shown = {one.component: one.maintenance for one in await health.read(watch.connection)}
        assert shown == {"server": len(changes) == 2, "trading": False}

    assert changes == [{"server", "trading"}, {"server"}, {"server"}, set()]
    reported = [e.payload["components"] for e in await bus.after(watch.connection, 1, 9)]
    assert [c["server"]["maintenance"] for c in reported if isinstance(c, dict)] == [True, False]
    for slots, during in ((0.5, False), (1.5, True), (2.5, False)):
        then = await health.read_at(watch.connection, START + slots * SLOT)
        assert [(one.component, one.maintenance) for one in then] == [
            ("server", during), ("trading", False),
        ]  # fmt: skip


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    checks=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["healthy", "critical", "down"])),
        min_size=1,
        max_size=60,
        unique_by=lambda item: item[0],
    ),
    start=st.integers(0, 400),
    length=st.integers(1, 400),
)
async def test_uptime_over_any_window_equals_a_recomputation(
    pool: Pool, checks: list[tuple[int, str]], start: int, length: int
) -> None:
    """Hours from the aggregate and the rest from the checks give what the checks alone do."""
    end = start + length
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE component_checks; TRUNCATE component_uptime_1h")
        for slot, status in checks:
            await connection.execute(
                "INSERT INTO component_checks VALUES (%s, 'c', %s, 30, '')",
                [START + slot * SLOT, status],
            )
        await tiers.maintain(connection, START + timedelta(hours=6))
        cursor = await connection.execute(
            "SELECT up_s, down_s FROM uptime('c', %s, %s)",
            [START + start * SLOT, START + end * SLOT],
        )
        found = await cursor.fetchone()

    inside = [status for slot, status in checks if start <= slot < end]
    down = 30 * inside.count("down")
    assert found == (30 * len(inside) - down, down)
