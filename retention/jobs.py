"""Runs what a database server does by itself, on an engine that has no background workers."""

import time
from datetime import datetime, timedelta

import psycopg
import structlog

from db.queries import Pool
from retention import tiers

log = structlog.get_logger()

TIDY_EVERY = timedelta(minutes=5)
MAINTENANCE_S_MAX = 60.0
"""How long a turn goes on with a maintenance that has much to do, step by step."""
WAL_BYTES_MAX = 24 * 2**20
"""How long the engine's log may become until the next turn flushes what it is kept for."""


class Jobs:
    """Remembers what ran when; everything is due at the start."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._next: dict[str, datetime] = {}
        self._reclaimed: datetime | None = None

    async def run(self, now: datetime) -> None:
        """Run what is due: TimescaleDB's jobs, then vacuum and checkpoint."""
        async with self._pool.connection() as connection:
            jobs = await tiers.jobs(connection)
        for job in jobs:
            if self._is_due(f"job {job.job_id}", now, job.schedule_interval):
                await self._run(job)
        await self._bound_log()
        if self._is_due("tidy", now, TIDY_EVERY):
            await self._tidy()

    def _is_due(self, what: str, now: datetime, every: timedelta) -> bool:
        """Whether it is time; a due time too far ahead is from before the clock was set back."""
        due = self._next.get(what)
        if due is not None and now < due <= now + every:
            return False
        self._next[what] = now + every
        return True

    async def _run(self, job: tiers.Job) -> None:
        """Run one job; its failure is recorded, and the others still have their turn."""
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
        """Maintain in steps, between which others have the engine."""
        ends = time.monotonic() + MAINTENANCE_S_MAX
        goes_on = True
        while goes_on and time.monotonic() < ends:
            async with self._pool.connection() as connection:
                goes_on = await tiers.maintain_step(connection)
            await self._bound_log()
        if not goes_on:
            await self._reclaim()

    async def _tidy(self) -> None:
        """Vacuum the small tables, each by itself, then flush the log."""
        async with self._pool.connection() as connection:
            tables = await tiers.updated_tables(connection)
        for table in tables:
            async with self._pool.connection() as connection:
                await tiers.tidy(connection, table)
        async with self._pool.connection() as connection:
            await tiers.checkpoint(connection)

    async def _reclaim(self) -> None:
        """Vacuum what the newest run rewrote, each table by itself: the next run needs the room."""
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
        """Flush when much was written: the engine has no checkpointer, and the log would grow."""
        async with self._pool.connection() as connection:
            if await tiers.wal_bytes(connection) > WAL_BYTES_MAX:
                await tiers.checkpoint(connection)
