"""The watchdog is called while everything works, and within two intervals after a part has not."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from alerts import store as alerts
from model.severity import Level
from tests.notifications.outbox.telling import Telling
from tests.notifications.watchdog.pipeline import INTERVAL, MINUTE, Pipeline

WARM_UP = 31
FROZEN_FOR, AGAIN_FOR = 20, 21


@pytest.fixture
async def pipeline(telling: Telling) -> AsyncIterator[Pipeline]:
    made = Pipeline(telling)
    made.start()
    yield made
    await made.stop()


async def test_it_is_called_once_in_each_interval_while_everything_works(
    pipeline: Pipeline,
) -> None:
    await pipeline.run(WARM_UP)

    gaps = [after - before for before, after in pairwise(pipeline.calls)]
    assert len(pipeline.calls) == WARM_UP * MINUTE // INTERVAL
    assert set(gaps) == {INTERVAL}


@pytest.mark.parametrize("part", ["writer", "maintenance", "evaluation", "dispatcher"])
async def test_the_calls_stop_within_two_intervals_after_one_part_was_frozen(
    pipeline: Pipeline, part: str
) -> None:
    await pipeline.run(WARM_UP)
    assert pipeline.calls
    frozen_at = pipeline.now
    pipeline.freeze(part)
    await pipeline.run(FROZEN_FOR)
    late = [call for call in pipeline.calls if call > frozen_at + 2 * INTERVAL]
    assert late == []

    pipeline.thaw(part)
    await pipeline.run(AGAIN_FOR)
    assert pipeline.calls[-1] > pipeline.now - INTERVAL


async def test_a_pause_of_notifications_stops_the_calls(pipeline: Pipeline) -> None:
    await pipeline.run(WARM_UP)
    before = list(pipeline.calls)
    await pipeline.pause()
    await pipeline.run(11)

    assert pipeline.calls == before


async def test_a_call_that_is_refused_is_tried_again_until_the_next_canary(
    pipeline: Pipeline,
) -> None:
    pipeline.telling.provider.status = 503
    await pipeline.run(8)
    assert len(pipeline.calls) >= 2
    assert pipeline.watchdog.last_error == "the watchdog answered 503"
    pipeline.telling.provider.status = 200
    await pipeline.run(6)

    assert pipeline.watchdog.called_at is not None
    assert pipeline.watchdog.last_error == ""


async def test_nobody_sees_a_canary_among_alerts_or_messages(pipeline: Pipeline) -> None:
    await pipeline.telling.channel(min_level=Level.INFO)
    await pipeline.run(WARM_UP)

    assert pipeline.calls
    assert await pipeline.telling.deliveries() == []
    async with pipeline.pool.connection() as connection:
        assert await alerts.active(connection, alerts.Filter(), 10) == []
