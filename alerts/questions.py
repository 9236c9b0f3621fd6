"""Asks the questions of rules in SQL of their own; what is answered are samples like any other."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
import structlog
from msgspec import Struct

from db import faults, questions
from db.queries import Connection, Pool
from db.questions import Answer, LostError, Question, QuestionError
from vigia.model import Category, Sample, Series, labels_of

log = structlog.get_logger()

COMPONENT = "rules"
AT_ONCE = 4

Put = Callable[[Sequence[Sample]], None]
Outcome = QuestionError | None
"""Why a question has no answer."""


class Asker(Struct):
    """Asks every question once a minute, so many at once that all are through in time."""

    pool: Pool
    put: Put
    timeout_s: float = questions.TIMEOUT_S
    lingering: int = 0
    """How many earlier questions the server still worked on in the last minute, past their end."""

    async def turn(self, at: datetime) -> None:
        """Put the answers as samples of a minute, each when it comes. One replica does so.

        A question without an answer is set aside. So it comes into the state `error` and in
        nobody's way, and is asked again in a minute.
        """
        async with self.pool.connection() as connection:
            due = await questions.due(connection)
            if not due or not await questions.claim(connection, at):
                return
            try:
                dsn = await questions.open_login(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                dsn = None
                reason = f"rules of kind 'sql' need a role: {error.diag.message_primary}"
        if dsn is None:
            outcomes: list[Outcome] = [QuestionError(reason)] * len(due)
        else:
            running = await self._running(dsn)
            outcomes = await self._ask_all(dsn, due, at, running)
        async with self.pool.connection() as connection:
            for question, outcome in zip(due, outcomes, strict=True):
                await _note(connection, question, outcome, at)

    async def _running(self, dsn: str) -> Sequence[str]:
        """Return the sessions of earlier questions, each of which has been ended once more."""
        try:
            running = await questions.end_late(dsn, self.timeout_s)
        except (TimeoutError, psycopg.Error) as error:
            log.warning("sessions_of_rules_unknown", reason=str(error))
            return ()
        self.lingering = len(running)
        return running

    async def _ask_all(
        self, dsn: str, due: Sequence[Question], at: datetime, running: Sequence[str] = ()
    ) -> list[Outcome]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(question: Question) -> Outcome:
            if question.session_name in running:
                return QuestionError("its earlier question still runs in the database")
            async with turns:
                return await self.ask(dsn, question, at)

        outcomes = await asyncio.gather(*map(ask, due))
        for number, outcome in enumerate(outcomes):
            # One question can end another's connection, but not when that is asked alone.
            if isinstance(outcome, LostError):
                outcomes[number] = await self.ask(dsn, due[number], at)
        return outcomes

    async def ask(self, dsn: str, question: Question, at: datetime) -> Outcome:
        """Put the answer to one question; return why there is none. Whatever fails is its fault."""
        try:
            answers = await questions.ask(dsn, question.sql, self.timeout_s, question.session_name)
        except QuestionError as error:
            return error
        except Exception as error:  # noqa: BLE001 (one odd answer must not end all others)
            return QuestionError(f"{type(error).__name__}: {error}")
        self.put(samples_of(question, answers, at))
        return None


async def _note(connection: Connection, question: Question, outcome: Outcome, at: datetime) -> None:
    if outcome is not None:
        await faults.fail(connection, [question.id], str(outcome), at)
    elif question.has_failed:
        await faults.recover(connection, [question.id])


def samples_of(question: Question, answers: Sequence[Answer], at: datetime) -> list[Sample]:
    """Return what is stored of an answer: its rows and, once these are safe, how many there are."""
    rows = [Sample(_series(question, answer), at, answer.value) for answer in answers]
    return [*rows, Sample(_count_of(question), at, float(len(rows)))]


def _count_of(question: Question) -> Series:
    return Series(
        metric=questions.ROWS_METRIC,
        component=COMPONENT,
        category=Category.SYSTEM,
        labels=labels_of({"metric": question.metric}),
        resolution=1.0,
    )


def _series(question: Question, answer: Answer) -> Series:
    return Series(
        metric=question.metric,
        component=answer.component or question.component or COMPONENT,
        category=question.category or Category.SYSTEM,
        labels=answer.labels,
    )
