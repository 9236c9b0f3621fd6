"""What is live is noted once for each time, whatever the batches. The tests choose the time."""

from datetime import UTC, datetime, timedelta

import numpy as np

from hosts.seen import SeenHost, SeenHosts
from model.series import Column, Histogram, Series
from model.times import micros_of
from samples.write_batch import WriteBatch

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CPU = Series(metric="server_cpu_percent", component="server", labels=(("host", "web2"),))
MEMORY = Series(metric="server_memory_percent", component="server", labels=(("host", "web2"),))
SHOP = Series(metric="orders", component="shop")


def ago(*seconds: float) -> list[datetime]:
    return [NOW - timedelta(seconds=one) for one in seconds]


def column(series: Series, *seconds: float) -> Column:
    times = np.array([micros_of(at) for at in ago(*seconds)], np.int64)
    return Column(series, times, np.zeros(len(times)))


async def seen_of(
    *columns: Column, seen: SeenHosts | None = None
) -> dict[tuple[str, str], SeenHost]:
    seen = seen or SeenHosts()
    await seen.note(WriteBatch(list(columns)), NOW)
    return seen.take(NOW)


async def test_a_host_is_heard_once_for_each_time_of_its_live_samples() -> None:
    found = await seen_of(column(CPU, 30, 15, 0), column(MEMORY, 30, 15), column(SHOP, 5))

    first, last = micros_of(ago(30)[0]), micros_of(NOW)
    shop = micros_of(ago(5)[0])
    assert found == {
        ("web2", "host"): SeenHost("server", first, last, 3),
        ("shop", "component"): SeenHost("shop", shop, shop, 1),
    }


async def test_samples_of_the_past_are_no_sign_of_life() -> None:
    assert await seen_of(column(CPU, 3600, 121)) == {}
    [(_, host)] = (await seen_of(column(CPU, 3600, 121, 120))).items()
    assert host.samples == 1


async def test_a_clock_that_runs_ahead_counts_as_now() -> None:
    [(_, host)] = (await seen_of(column(CPU, -300))).items()

    assert (host.last_us, host.samples) == (micros_of(NOW), 1)


async def test_the_same_times_in_another_batch_count_no_more() -> None:
    seen = SeenHosts()
    await seen.note(WriteBatch([column(CPU, 15)]), NOW)
    await seen.note(WriteBatch([column(MEMORY, 15)]), NOW)
    [(_, host)] = seen.take(NOW).items()
    assert host.samples == 1

    assert await seen_of(column(MEMORY, 15), seen=seen) == {}
    assert len(await seen_of(column(MEMORY, 10), seen=seen)) == 1


async def test_components_that_vigia_measures_are_not_seen_without_a_host() -> None:
    seen = SeenHosts()
    own = Series(metric="extra", component="server")
    await seen.note(WriteBatch([column(own, 1), column(CPU, 1)]), NOW, {"server"})

    assert list(seen.take(NOW)) == [("web2", "host")]


async def test_a_histogram_is_a_sample() -> None:
    seen = SeenHosts()
    one = Histogram(SHOP, micros_of(NOW), np.array([1], np.int32), np.array([1], np.int64))
    await seen.note(WriteBatch((), [one]), NOW)

    assert list(seen.take(NOW)) == [("shop", "component")]


async def test_what_could_not_be_written_is_written_with_what_comes_later() -> None:
    seen = SeenHosts()
    await seen.note(WriteBatch([column(CPU, 30)]), NOW)
    seen.put_back(seen.take(NOW))
    await seen.note(WriteBatch([column(CPU, 10), column(SHOP, 10)]), NOW)

    found = seen.take(NOW)
    first, last = (micros_of(at) for at in ago(30, 10))
    assert found["web2", "host"] == SeenHost("server", first, last, 2)
    assert set(found) == {("web2", "host"), ("shop", "component")}
