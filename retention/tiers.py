"""The tiers and their retention, and the maintenance procedure that applies it."""

from datetime import datetime, timedelta

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
SET = _QUERIES["set"]
READ = _QUERIES["read"]
FIND_JOB = _QUERIES["find_job"]
ADD_JOB = _QUERIES["add_job"]
DUE_JOBS = _QUERIES["due_jobs"]
RECORD_FAILURE = _QUERIES["record_failure"]
LAST_RUN = _QUERIES["last_run"]
ACCEPTED_FROM = _QUERIES["accepted_from"]
MAINTAIN = _QUERIES["maintain"]
IS_PAUSED = _QUERIES["is_paused"]
RUN_JOB = _QUERIES["run_job"]
CHECKPOINT = _QUERIES["checkpoint"]
VACUUM_AND_ANALYZE = _QUERIES["vacuum_and_analyze"]
UPDATED_TABLES = _QUERIES["updated_tables"]
VACUUM_TABLE = _QUERIES["vacuum_table"]
VACUUM_INVALIDATIONS = _QUERIES["vacuum_invalidations"]
REWRITTEN_TABLES = _QUERIES["rewritten_tables"]
WAL_BYTES = _QUERIES["wal_bytes"]

MAINTENANCE = "maintain"
MAINTENANCE_EVERY = timedelta(seconds=15)
"""The interval of the maintenance job. Late samples are rolled up within this time."""
STEP = timedelta(seconds=0.1)
"""The approximate duration of one step. On the embedded engine nothing else runs meanwhile."""
LONG_STEP = timedelta(seconds=2)
"""The duration of a step when no other work waits. The embedded engine's deadline is longer."""


class Wanted(Struct, frozen=True):
    """The wanted retention of a tier (None: for ever), and the age at which chunks are compressed.

    None for `compress_after` means never.
    """

    name: str
    keep: timedelta | None
    compress_after: timedelta | None


class Tier(Struct, frozen=True):
    """The present state of a tier."""

    name: str
    relation: str
    keep: timedelta | None
    compress_after: timedelta | None
    refreshed_to: datetime | None
    dropped_to: datetime | None


class Job(Struct, frozen=True):
    """A job of TimescaleDB."""

    job_id: int
    proc_name: str
    schedule_interval: timedelta


class Run(Struct, frozen=True):
    """One run of the maintenance. `finished_at` is None while it runs or if it was interrupted."""

    started_at: datetime
    finished_at: datetime | None
    step: str
    refreshed: int
    compressed: int
    dropped: int
    error: str | None


async def want(connection: Connection, wanted: Wanted) -> bool:
    """Set the wanted state of a tier; return False if it was so already."""
    return bool(
        await queries.run(
            connection,
            SET,
            name=wanted.name,
            keep=wanted.keep,
            compress_after=wanted.compress_after,
        )
    )


async def read(connection: Connection) -> list[Tier]:
    """Return the tiers. Each comes after the tier that it is rolled up from."""
    return await queries.rows(connection, Tier, READ)


async def accepted_from(connection: Connection, now: datetime) -> datetime | None:
    """Return the oldest time of a sample that is still accepted, or None for any time."""
    time: datetime | None = await queries.value(connection, ACCEPTED_FROM, now=now)
    return time


async def maintain(connection: Connection, now: datetime) -> None:
    """Run the maintenance to its end as of `now`, even if it is not due.

    The procedure commits between its steps, so the caller must not be in a transaction.
    """
    while await maintain_step(connection, now=now, force=True, step=LONG_STEP):
        pass


async def maintain_step(
    connection: Connection,
    *,
    now: datetime | None = None,
    force: bool = False,
    step: timedelta | None = None,
) -> bool:
    """Run the maintenance for about one step if it is due; return True if work is left.

    `force` runs it even if it is not due. The caller must not be in a transaction.
    """
    await queries.run(connection, MAINTAIN, now=now, force=force, budget=step or STEP)
    is_paused: bool | None = await queries.value(connection, IS_PAUSED)
    return bool(is_paused)


async def register_job(connection: Connection) -> int:
    """Register the maintenance as a TimescaleDB job, unless it is one, and return the job's id."""
    found: int | None = await queries.value(connection, FIND_JOB)
    if found is not None:
        return found
    made: int = await queries.value(connection, ADD_JOB, every=MAINTENANCE_EVERY)
    return made


async def jobs(connection: Connection) -> list[Job]:
    """Return the jobs that TimescaleDB's scheduler would run."""
    return await queries.rows(connection, Job, DUE_JOBS)


async def run_job(connection: Connection, job_id: int) -> None:
    """Run a job now. The caller must not be in a transaction."""
    await queries.run(connection, RUN_JOB, job_id=job_id)


async def record_failure(connection: Connection, error: str) -> None:
    """Record the error in the newest unfinished maintenance run."""
    await queries.run(connection, RECORD_FAILURE, error=error)


async def last_run(connection: Connection) -> Run | None:
    """Return the newest maintenance run, or None."""
    return await queries.first(connection, Run, LAST_RUN)


async def rewritten_tables(connection: Connection) -> list[str]:
    """Return the roll-up chunks in which the newest run replaced rows, as quoted SQL names."""
    cursor = await connection.execute(REWRITTEN_TABLES)
    return [name for (name,) in await cursor.fetchall()]


async def vacuum(connection: Connection, table: str) -> None:
    """Vacuum a table. The caller must not be in a transaction."""
    await queries.run(connection, queries.fill(VACUUM_TABLE, table=table.encode()))


async def vacuum_invalidations(connection: Connection) -> None:
    """Vacuum TimescaleDB's logs of invalidated ranges."""
    await queries.run(connection, VACUUM_INVALIDATIONS)


async def wal_bytes(connection: Connection) -> int:
    """Return the size of the write-ahead log since the last checkpoint."""
    size: int = await queries.value(connection, WAL_BYTES)
    return size


async def checkpoint(connection: Connection) -> None:
    """Make a checkpoint."""
    await queries.run(connection, CHECKPOINT)


async def updated_tables(connection: Connection) -> list[str]:
    """Return the tables with updated or deleted rows, which need a regular vacuum."""
    cursor = await connection.execute(UPDATED_TABLES)
    return [name for (name,) in await cursor.fetchall()]


async def tidy(connection: Connection, table: str) -> None:
    """Vacuum and analyse a table. The caller must not be in a transaction."""
    await queries.run(connection, queries.fill(VACUUM_AND_ANALYZE, table=table.encode()))
