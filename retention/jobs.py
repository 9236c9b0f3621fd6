"""Runs database jobs on an engine without background workers, as a server does by itself."""

import time
from datetime import datetime, timedelta

import psycopg
import structlog

from db.queries import Pool
from retention import tiers

log = structlog.get_logger()

TIDY_EVERY = timedelta(minutes=5)
MAINTENANCE_S_MAX = 60.0
"""How many seconds one run of the jobs spends on a long maintenance, step by step."""
WAL_BYTES_MAX = 24 * 2**20
"""The size of the write-ahead log from which the next run makes a checkpoint."""


class Jobs:
    """Runs each job when it is due. At the start all are due."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._next: dict[str, datetime] = {}
        self._reclaimed: datetime | None = None

    async def run(self, now: datetime) -> None:
        """Run the jobs that are due: first TimescaleDB's jobs, then vacuum and checkpoint.

        Each step takes its own connection from the pool, so that other work runs in between: the
        embedded engine has only one.
        """
        async with self._pool.connection() as connection:
            jobs = await tiers.jobs(connection)
        for job in jobs:
            if self._is_due(f"job {job.job_id}", now, job.schedule_interval):
                await self._run(job)
        await self._bound_log()
        if self._is_due("tidy", now, TIDY_EVERY):
            await self._tidy()

    def _is_due(self, what: str, now: datetime, every: timedelta) -> bool:
        """Return whether a job is due, and note its next time.

        A next time more than one interval ahead is ignored: the clock was set back.
        """
        due = self._next.get(what)
        if due is not None and now < due <= now + every:
            return False
        self._next[what] = now + every
        return True

    async def _run(self, job: tiers.Job) -> None:
        """Run one job. A failure is recorded, and does not stop the other jobs."""
        try:
            if job.proc_name == tiers.MAINTENANCE:
                await self._maintain()
                return
            async with self._pool.connection() as connection:
                await tiers.run_job(connection, job.job_id)
        except psycopg.Error as error:
            log.warning("job_failed", job=job.proc_name, error=str(error).strip())
            if job.proc_name != tiers.MAINTENANCE:
                return
            async with self._pool.connection() as connection:
                await tiers.record_failure(connection, str(error).strip())

    async def _maintain(self) -> None:
        """Run the maintenance in short steps. Other work can use the engine between them."""
        ends = time.monotonic() + MAINTENANCE_S_MAX
        goes_on = True
        while goes_on and time.monotonic() < ends:
            async with self._pool.connection() as connection:
                goes_on = await tiers.maintain_step(connection)
            await self._bound_log()
        if not goes_on:
            await self._reclaim()

    async def _tidy(self) -> None:
        """Vacuum the small tables, one at a time, and then make a checkpoint."""
        async with self._pool.connection() as connection:
            tables = await tiers.updated_tables(connection)
        for table in tables:
            async with self._pool.connection() as connection:
                await tiers.tidy(connection, table)
        async with self._pool.connection() as connection:
            await tiers.checkpoint(connection)

    async def _reclaim(self) -> None:
        """Vacuum the tables that the newest maintenance run rewrote, one at a time.

        The next run can then reuse the space of the replaced rows.
        """
        async with self._pool.connection() as connection:
            run = await tiers.last_run(connection)
            if run is None or run.started_at == self._reclaimed:
                return
            tables = await tiers.rewritten_tables(connection)
            await tiers.vacuum_invalidations(connection)
        for table in tables:
            async with self._pool.connection() as connection:
                await tiers.vacuum(connection, table)
        self._reclaimed = run.started_at

    async def _bound_log(self) -> None:
        """Make a checkpoint after many writes. The engine has no checkpointer of its own."""
        async with self._pool.connection() as connection:
            if await tiers.wal_bytes(connection) > WAL_BYTES_MAX:
                await tiers.checkpoint(connection)
