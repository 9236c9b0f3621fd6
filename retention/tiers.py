"""What is kept at which density, and the maintenance that keeps it so."""

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
"""How often the maintenance looks whether it is due: late samples are rolled up within this."""
STEP = timedelta(seconds=0.1)
"""How long one step of the maintenance lasts about, where nothing else can run meanwhile."""
LONG_STEP = timedelta(seconds=2)
"""The same where nobody waits, shorter than the embedded engine's deadline."""


class Wanted(Struct, frozen=True):
    """How long a tier is kept (None: for ever), and at what age its chunks are compressed."""

    name: str
    keep: timedelta | None
    compress_after: timedelta | None


class Tier(Struct, frozen=True):
    """A tier as it is."""

    name: str
    relation: str
    keep: timedelta | None
    compress_after: timedelta | None
    refreshed_to: datetime | None
    dropped_to: datetime | None


class Job(Struct, frozen=True):
    """A job of TimescaleDB's."""

    job_id: int
    proc_name: str
    schedule_interval: timedelta


class Run(Struct, frozen=True):
    """One run of the maintenance; one that was interrupted has no end."""

    started_at: datetime
    finished_at: datetime | None
    step: str
    refreshed: int
    compressed: int
    dropped: int
    error: str | None


async def want(connection: Connection, wanted: Wanted) -> bool:
    """Set what is wanted of a tier; False when it was so already."""
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
    """Return the tiers, each behind its source."""
    return await queries.rows(connection, Tier, READ)


async def accepted_from(connection: Connection, now: datetime) -> datetime | None:
    """Return the time from which a late sample can still be taken; None: any."""
    time: datetime | None = await queries.value(connection, ACCEPTED_FROM, now=now)
    return time


async def maintain(connection: Connection, now: datetime) -> None:
    """Run the maintenance to its end as of a moment, due or not; outside any transaction."""
    while await maintain_step(connection, now=now, force=True, step=LONG_STEP):
        pass


async def maintain_step(
    connection: Connection,
    *,
    now: datetime | None = None,
    force: bool = False,
    step: timedelta | None = None,
) -> bool:
    """Run the maintenance, if it is due, for about a STEP; True when it is to be gone on with."""
    await queries.run(connection, MAINTAIN, now=now, force=force, budget=step or STEP)
    is_paused: bool | None = await queries.value(connection, IS_PAUSED)
    return bool(is_paused)


async def register_job(connection: Connection) -> int:
    """Give the maintenance to TimescaleDB's scheduler, once, and return the job's number."""
    found: int | None = await queries.value(connection, FIND_JOB)
    if found is not None:
        return found
    made: int = await queries.value(connection, ADD_JOB, every=MAINTENANCE_EVERY)
    return made


async def jobs(connection: Connection) -> list[Job]:
    """Return the jobs that a scheduler would run."""
    return await queries.rows(connection, Job, DUE_JOBS)


async def run_job(connection: Connection, job_id: int) -> None:
    """Run a job here and now, outside any transaction."""
    await queries.run(connection, RUN_JOB, job_id=job_id)


async def record_failure(connection: Connection, error: str) -> None:
    """Say in the newest unfinished run why it ended."""
    await queries.run(connection, RECORD_FAILURE, error=error)


async def last_run(connection: Connection) -> Run | None:
    """Return the newest run of the maintenance."""
    return await queries.first(connection, Run, LAST_RUN)


async def rewritten_tables(connection: Connection) -> list[str]:
    """Return the chunks of roll-ups in which the newest run replaced rows, as SQL names them."""
    cursor = await connection.execute(REWRITTEN_TABLES)
    return [name for (name,) in await cursor.fetchall()]


async def vacuum(connection: Connection, table: str) -> None:
    """Make the room of a table's dead rows free for new ones; outside any transaction."""
    await queries.run(connection, queries.fill(VACUUM_TABLE, table=table.encode()))


async def vacuum_invalidations(connection: Connection) -> None:
    """Do the same for what TimescaleDB notes about ranges that are to be refreshed."""
    await queries.run(connection, VACUUM_INVALIDATIONS)


async def wal_bytes(connection: Connection) -> int:
    """Return how much of the log a checkpoint would free."""
    size: int = await queries.value(connection, WAL_BYTES)
    return size


async def checkpoint(connection: Connection) -> None:
    """Flush what the log is kept for."""
    await queries.run(connection, CHECKPOINT)


async def updated_tables(connection: Connection) -> list[str]:
    """Return the tables that need a vacuum now and then."""
    cursor = await connection.execute(UPDATED_TABLES)
    return [name for (name,) in await cursor.fetchall()]


async def tidy(connection: Connection, table: str) -> None:
    """Vacuum a table, and count anew what the planner goes by; outside any transaction."""
    await queries.run(connection, queries.fill(VACUUM_AND_ANALYZE, table=table.encode()))
