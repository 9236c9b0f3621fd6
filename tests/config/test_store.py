"""Settings have defaults, are checked as a whole, and every change is in the audit."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from psycopg.types.json import Jsonb

from config import store as config
from config.model import Config, Retention
from db import queries
from db.engine import Engine
from db.queries import Pool
from model.errors import ConflictError, InvalidError, NotFoundError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_defaults_are_the_briefs(pool: Pool) -> None:
    async with pool.connection() as connection:
        found = await config.read(connection)

    assert found == Config()
    assert (found.intervals.collect_s, found.intervals.health_s) == (15, 30)
    assert found.thresholds_document() == {
        "server_memory_percent": {"warning": 70, "critical": 90},
        "server_cpu_percent": {"warning": 60, "critical": 80},
        "database_latency_ms": {"warning": 500, "critical": 1000},
        "external_latency_ms": {"warning": 2000, "critical": 5000},
        "trading_success_percent": {"op": "<", "warning": 50, "critical": 30},
    }


async def test_a_change_is_stored_with_its_author_and_its_history(pool: Pool) -> None:
    async with pool.connection() as connection:
        await config.write(connection, "intervals", {"collect_s": 5}, NOW, "ana")
        changed = await config.write(connection, "intervals", {"collect_s": 6}, NOW, "ben")
        entry = await config.entry(connection, "intervals")
        [second, first] = await config.history(connection, "intervals", 2**31, 10)

        assert await config.read(connection) == changed
    assert changed.intervals.collect_s == 6
    assert entry.value == {"collect_s": 6, "health_s": 30}
    assert entry.default == {"collect_s": 15, "health_s": 30}
    assert (entry.updated_by, entry.updated_at) == ("ben", NOW)
    assert (first.old_value, first.changed_by) == (None, "ana")
    assert second.old_value == {"collect_s": 5, "health_s": 30}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("intervals", {"collect_s": 0}, "collect_s"),
        ("intervals", {"collects": 1}, "collects"),
        ("retention", {"raw_days": 100}, "kept at least as long"),
        ("retention", {"raw_days": 5, "rollup_1m_days": 6}, "at most as long as raw"),
        ("retention", {"raw_days": 1}, "raw_days"),
        ("thresholds", {"m": {"warning": "high"}}, "warning"),
        ("thresholds", {"m": {"op": "="}}, "op"),
        ("thresholds", {"m": {"warning": 90, "critical": 70}}, "equal or higher limit"),
        ("thresholds", {"m": {"op": "<"}}, "at least one"),
        ("thresholds", {"a b": {"warning": 1}}, "a name in thresholds: must have 1 to 128 letters"),
        ("thresholds", {"a\n": {"warning": 1}}, "must have 1 to 128 letters"),
        ("retention", {"metrics": {"a\n": {"keep_days": 1}}}, "must have 1 to 128 letters"),
        ("targets", [{"name": "security", "url": "http://x"}], "security"),
        ("targets", [{"name": "a", "url": "http://me:secret@x/"}], "password"),
        ("targets", [{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"}], "own"),
        ("targets", [{"name": "server", "url": "http://x"}], "server"),
        ("targets", [{"name": "a", "url": "file:///etc/passwd"}], "must be an address"),
    ],
)
async def test_a_bad_value_is_refused_with_a_reason_and_changes_nothing(
    pool: Pool, key: str, value: Any, reason: str
) -> None:
    async with pool.connection() as connection:
        with pytest.raises(InvalidError, match=reason):
            await config.write(connection, key, value, NOW, "ana")

        assert await config.read(connection) == Config()
        assert await config.history(connection, None, 2**31, 10) == []


async def test_an_unknown_key_is_not_found(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(NotFoundError, match="nothing"):
            await config.write(connection, "nothing", 1, NOW, "ana")
        with pytest.raises(NotFoundError, match="nothing"):
            await config.entry(connection, "nothing")


async def test_a_stored_value_of_another_version_counts_as_not_set(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO monitoring_config VALUES ('intervals', '{\"old\": 1}', now(), 'x'), "
            "('gone', '1', now(), 'x')"
        )
        assert await config.read(connection) == Config()


BINANCE = {"name": "binance", "url": "http://binance.example/metrics"}
"""A scrape that is named as one of the default targets."""


async def test_a_scrape_may_have_the_name_of_a_default_target_that_is_gone(pool: Pool) -> None:
    async with pool.connection() as connection:
        await config.write(connection, "targets", [], NOW, "ana")
        written = await config.write(connection, "scrapes", [BINANCE], NOW, "ana")

        assert await config.read(connection) == written
    assert [scrape.name for scrape in written.scrapes] == ["binance"]


async def test_a_name_that_is_taken_is_refused_when_it_is_written(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(
            InvalidError, match=r"scrapes: 2 targets or scrapes are named 'binance'"
        ):
            await config.write(connection, "scrapes", [BINANCE], NOW, "ana")
        both = {"scrapes": [BINANCE], "targets": []}
        written = await config.write_all(connection, both, NOW, "ana")

        assert await config.read(connection) == written
        assert len(await config.history(connection, None, 2**31, 10)) == 2


@pytest.mark.parametrize("first", ["targets", "scrapes"])
async def test_the_earlier_of_two_contradictory_stored_values_is_in_force(
    pool: Pool, first: str
) -> None:
    """Only a version without this check can have stored them."""
    shop = {"name": "shop", "url": "http://shop.example/"}
    values = {"targets": [shop], "scrapes": [shop]}
    async with pool.connection() as connection:
        for key, value in values.items():
            minutes = timedelta(minutes=0 if key == first else 1)
            row = {"key": key, "value": Jsonb(value), "time": NOW + minutes, "actor": "ana"}
            await queries.run(connection, config.WRITE, **row)
        found = await config.read(connection)

    assert [one.name for one in getattr(found, first)] == ["shop"]
    [other] = values.keys() - {first}
    assert getattr(found, other) == getattr(Config(), other)


async def test_two_changes_that_are_wrong_together_are_not_both_written(
    pool: Pool, engine: Engine
) -> None:
    """Each waits for the end of the other, and is judged with what that one has left."""
    if engine.embedded:
        pytest.skip("its one session does one transaction after the other")
    targets = [{"name": "binance", "url": "http://other.example/"}]

    async def write(key: str, value: Any) -> Config | InvalidError:
        async with pool.connection() as connection:
            try:
                return await config.write(connection, key, value, NOW, key)
            except InvalidError as error:
                return error

    async with pool.connection() as connection:
        await config.write(connection, "targets", [], NOW, "ana")
        async with connection.transaction():
            await config.lock(connection)
            both = asyncio.gather(write("targets", targets), write("scrapes", [BINANCE]))
            await asyncio.sleep(0)
    ended = await both

    assert sum(isinstance(one, InvalidError) for one in ended) == 1


async def test_a_value_is_replaced_only_if_it_is_what_it_was(pool: Pool) -> None:
    shipped: Any = msgspec.to_builtins(Retention())
    wanted = shipped | {"raw_days": 40}
    async with pool.connection() as connection:
        await config.replace(connection, "retention", wanted, shipped, NOW, "ana")
        with pytest.raises(ConflictError, match="changed by 'ana' in the meantime"):
            await config.replace(connection, "retention", shipped, shipped, NOW, "ben")

        assert (await config.read(connection)).retention.raw_days == 40


def test_a_tier_may_be_kept_for_ever_only_if_what_x_is() -> None:
    assert Retention(rollup_5m_days=None, rollup_1h_days=None).rollup_1d_days is None
    with pytest.raises(ValueError, match="kept at least as long"):
        Retention(rollup_5m_days=None)
