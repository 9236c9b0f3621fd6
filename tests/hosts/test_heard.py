"""What is live is noted once for each time, whatever the batches. The tests choose the time."""

from datetime import UTC, datetime, timedelta

import numpy as np

from hosts.heard import Heard, HeardHost
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


async def heard_of(
    *columns: Column, heard: Heard | None = None
) -> dict[tuple[str, str], HeardHost]:
    heard = heard or Heard()
    await heard.note(WriteBatch(list(columns)), NOW)
    return heard.take(NOW)


async def test_a_host_is_heard_once_for_each_time_of_its_live_samples() -> None:
    found = await heard_of(column(CPU, 30, 15, 0), column(MEMORY, 30, 15), column(SHOP, 5))

    first, last = micros_of(ago(30)[0]), micros_of(NOW)
    shop = micros_of(ago(5)[0])
    assert found == {
        ("web2", "host"): HeardHost("server", first, last, 3),
        ("shop", "component"): HeardHost("shop", shop, shop, 1),
    }


async def test_samples_of_the_past_are_no_sign_of_life() -> None:
    assert await heard_of(column(CPU, 3600, 121)) == {}
    [(_, host)] = (await heard_of(column(CPU, 3600, 121, 120))).items()
    assert host.samples == 1


async def test_a_clock_that_runs_ahead_counts_as_now() -> None:
    [(_, host)] = (await heard_of(column(CPU, -300))).items()

    assert (host.last_us, host.samples) == (micros_of(NOW), 1)


async def test_the_same_times_in_another_batch_count_no_more() -> None:
    heard = Heard()
    await heard.note(WriteBatch([column(CPU, 15)]), NOW)
    await heard.note(WriteBatch([column(MEMORY, 15)]), NOW)
    [(_, host)] = heard.take(NOW).items()
    assert host.samples == 1

    assert await heard_of(column(MEMORY, 15), heard=heard) == {}
    assert len(await heard_of(column(MEMORY, 10), heard=heard)) == 1


async def test_components_that_vigia_measures_are_not_heard_of_without_a_host() -> None:
    heard = Heard()
    own = Series(metric="extra", component="server")
    await heard.note(WriteBatch([column(own, 1), column(CPU, 1)]), NOW, {"server"})

    assert list(heard.take(NOW)) == [("web2", "host")]


async def test_a_histogram_is_a_sample() -> None:
    heard = Heard()
    one = Histogram(SHOP, micros_of(NOW), np.array([1], np.int32), np.array([1], np.int64))
    await heard.note(WriteBatch((), [one]), NOW)

    assert list(heard.take(NOW)) == [("shop", "component")]


async def test_what_could_not_be_written_is_written_with_what_comes_later() -> None:
    heard = Heard()
    await heard.note(WriteBatch([column(CPU, 30)]), NOW)
    heard.put_back(heard.take(NOW))
    await heard.note(WriteBatch([column(CPU, 10), column(SHOP, 10)]), NOW)

    found = heard.take(NOW)
    first, last = (micros_of(at) for at in ago(30, 10))
    assert found["web2", "host"] == HeardHost("server", first, last, 2)
    assert set(found) == {("web2", "host"), ("shop", "component")}
