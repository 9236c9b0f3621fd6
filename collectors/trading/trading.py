"""Collects the figures of the trading platform, from its database or from the demo."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psycopg
from msgspec import structs

from collectors.collector import CollectorRun, Put, deadline_of
from collectors.sql_files.collector import TRADING, SqlFiles
from collectors.sql_files.connection import LostError, ReadOnly
from collectors.sql_files.folder import sql_paths
from collectors.sql_files.measurement import SQL_DIR
from collectors.trading.demo import SCHEMA
from model.series import Category, Sample
from runtime.schedule import SlotStats, every
from runtime.settings import Secret

SHIPPED = SQL_DIR / "trading"
DEMO_REASON = "simulated by vigia demo"
DEMO_TIMEOUT_S = 2.0
SIMULATED = SQL_DIR / "demo" / "simulated.sql"
EXISTS = (SQL_DIR / "demo" / "exists.sql").read_bytes()


def trading(address: Secret, folder: Path, put: Put) -> SqlFiles:
    """Return the collector. Files in the user's folder, if any, replace the built-in ones."""
    database = ReadOnly(address.reveal)

    def paths() -> list[Path]:
        return sql_paths(folder) or sql_paths(SHIPPED)

    return SqlFiles(TRADING, Category.TRADING, database, paths, put)


async def collect_demo_every(
    interval_s: Callable[[], float], dsn: str, put: Put, stats: SlotStats
) -> None:
    """Collect from the demo in every slot in which its schema exists, for ever.

    Without the schema, the component is not observed, rather than down. The reason of each
    `component_up` says that the values are simulated. The metric `trading_simulated` says the same
    in the history.
    """
    database = ReadOnly(lambda: dsn, SCHEMA)
    paths = [*sql_paths(SHIPPED), SIMULATED]
    collector = SqlFiles(TRADING, Category.TRADING, database, lambda: paths, put)
    run = CollectorRun(collector, lambda samples: put(_labelled(samples)))
    there = False

    async def take(time: datetime) -> None:
        nonlocal there
        # If the database does not answer, `there` keeps its value: a demo seen before is then down.
        with suppress(psycopg.Error, LostError):
            there = await _is_there(database)
        if there:
            await run.run(time, deadline_of(interval_s()))

    try:
        await every(interval_s, take, stats)
    finally:
        await collector.close()


async def _is_there(database: ReadOnly) -> bool:
    await database.connect()
    async with database.transaction(DEMO_TIMEOUT_S) as connection:
        cursor = await connection.execute(EXISTS)
        row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _labelled(samples: Sequence[Sample]) -> list[Sample]:
    """Add the reason "simulated" to the samples that have no reason."""
    return [structs.replace(sample, reason=sample.reason or DEMO_REASON) for sample in samples]
