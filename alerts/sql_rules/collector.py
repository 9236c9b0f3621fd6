"""Runs SQL rules and stores the rows that they return as samples."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
import structlog
from msgspec import Struct

from alerts.evaluation import quarantine
from alerts.sql_rules import query
from alerts.sql_rules.query import LostError, SqlRule, SqlRuleError
from db.queries import Connection, Pool
from model.rows import Answer, RowsError, samples_of_rows
from model.series import SQL_RULE_ROWS, Category, Labels, Sample, Series, labels_of

log = structlog.get_logger()

COMPONENT = "rules"
AT_ONCE = 4

Put = Callable[[Sequence[Sample]], None]
Outcome = SqlRuleError | RowsError | None
"""Why the SQL of a rule has no usable result; None if it has one."""


class SqlRuleCollector(Struct):
    """Runs every SQL rule once a minute, AT_ONCE at a time so that all finish in time."""

    pool: Pool
    put: Put
    timeout_s: float = query.TIMEOUT_S
    lingering: int = 0
    """How many statements of earlier runs the server was still executing in the last minute."""

    async def run(self, at: datetime) -> None:
        """Run the SQL rules of a minute and put their results as samples, each when it arrives.

        Only the replica that claims the minute runs them. A rule without a usable result is
        quarantined (state `error`) and runs again in the next minute.
        """
        async with self.pool.connection() as connection:
            due = await query.due(connection)
            if not due or not await query.claim(connection, at):
                return
            try:
                dsn = await query.open_login(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                dsn = None
                reason = f"rules of kind 'sql' need a role: {error.diag.message_primary}"
        if dsn is None:
            outcomes: list[Outcome] = [SqlRuleError(reason)] * len(due)
        else:
            running = await self._running(dsn)
            outcomes = await self._ask_all(dsn, due, at, running)
        async with self.pool.connection() as connection:
            for rule, outcome in zip(due, outcomes, strict=True):
                await _note(connection, rule, outcome, at)

    async def _running(self, dsn: str) -> Sequence[str]:
        """End sessions of earlier runs that still execute, and return their names."""
        try:
            running = await query.end_late(dsn, self.timeout_s)
        except (TimeoutError, psycopg.Error) as error:
            log.warning("sessions_of_rules_unknown", reason=str(error))
            return ()
        self.lingering = len(running)
        return running

    async def _ask_all(
        self, dsn: str, due: Sequence[SqlRule], at: datetime, running: Sequence[str] = ()
    ) -> list[Outcome]:
        slots = asyncio.Semaphore(AT_ONCE)

        async def ask(rule: SqlRule) -> Outcome:
            if rule.session_name in running:
                return SqlRuleError("its earlier statement still runs in the database")
            async with slots:
                return await self.ask(dsn, rule, at)

        outcomes = await asyncio.gather(*map(ask, due))
        for number, outcome in enumerate(outcomes):
            # The SQL of one rule can end the session of another. Run the victim again, alone.
            if isinstance(outcome, LostError):
                outcomes[number] = await self.ask(dsn, due[number], at)
        return outcomes

    async def ask(self, dsn: str, rule: SqlRule, at: datetime) -> Outcome:
        """Put the result of one rule as samples; return the reason if there is none."""
        try:
            answer = await query.ask(dsn, rule.sql, self.timeout_s, rule.session_name)
            samples = samples_of(rule, answer, at)
        except (SqlRuleError, RowsError) as error:
            return error
        except Exception as error:  # noqa: BLE001 (one odd answer must not end all others)
            return SqlRuleError(f"{type(error).__name__}: {error}")
        self.put(samples)
        return None


async def _note(connection: Connection, rule: SqlRule, outcome: Outcome, at: datetime) -> None:
    if outcome is not None:
        await quarantine.fail(connection, [rule.id], str(outcome), at)
    elif rule.has_failed:
        await quarantine.recover(connection, [rule.id])


def samples_of(rule: SqlRule, answer: Answer, at: datetime) -> list[Sample]:
    """Return the samples of a result: one for each row, and last the number of rows.

    The evaluation takes a rule as unanswered until it sees that number, so it must come last.
    Raises RowsError if the rows are not usable.
    """

    def series_of(_: str, component: str, labels: Labels) -> Series:
        category = rule.category or Category.SYSTEM
        return Series(metric=rule.metric, component=component, category=category, labels=labels)

    rows = samples_of_rows(answer, at, rule.component or COMPONENT, series_of)
    return [*rows, Sample(_count_of(rule), at, float(len(rows)))]


def _count_of(rule: SqlRule) -> Series:
    return Series(
        metric=SQL_RULE_ROWS,
        component=COMPONENT,
        category=Category.SYSTEM,
        labels=labels_of({"metric": rule.metric}),
        resolution=1.0,
    )
