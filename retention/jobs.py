"""Runs what a database server does by itself, on an engine that has no background workers."""

import time
from datetime import datetime, timedelta

import psycopg
import structlog

from db import tiers
from db.queries import Pool

log = structlog.get_logger()

TIDY_EVERY = timedelta(minutes=5)
MAINTENANCE_S_MAX = 10.0
"""How long a turn goes on with a maintenance that has much to do, step by step."""


class Jobs:
    """Remembers what ran when; everything is due at the start."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._next: dict[str, datetime] = {}

    async def turn(self, now: datetime) -> None:
        """Run what is due: TimescaleDB's jobs, then vacuum and checkpoint."""
        async with self._pool.connection() as connection:
            jobs = await tiers.jobs(connection)
        for job in jobs:
            if self._is_due(f"job {job.job_id}", now, job.schedule_interval):
                await self._run(job)
        if self._is_due("tidy", now, TIDY_EVERY):
            async with self._pool.connection() as connection:
                await tiers.tidy(connection)

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
