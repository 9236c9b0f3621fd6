"""Asks the questions of rules in SQL of their own; what is answered are samples like any other."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import psycopg
from msgspec import Struct

from db import faults, questions
from db.queries import Pool
from db.questions import Answer, LostError, Question, QuestionError
from vigia.model import Category, Sample, Series

COMPONENT = "rules"
AT_ONCE = 4

Put = Callable[[Sequence[Sample]], None]


class Asker(Struct):
    """Asks every question once a minute, so many at once that all are through in time."""

    pool: Pool
    put: Put
    timeout_s: float = questions.TIMEOUT_S

    async def turn(self, at: datetime) -> None:
        """Put the answers as samples of a minute. A question that has none is set aside.

        So it comes into the state `error` and in nobody's way, and is asked again in a minute.
        """
        async with self.pool.connection() as connection:
            due = await questions.due(connection)
            if not due:
                return
            try:
                dsn = await questions.open_login(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                reason = f"rules of kind 'sql' need a role: {error.diag.message_primary}"
                outcomes: list[list[Answer] | QuestionError] = [QuestionError(reason)] * len(due)
            else:
                outcomes = await self._ask_all(dsn, due)
        for question, outcome in zip(due, outcomes, strict=True):
            await self._take(question, outcome, at)

    async def _ask_all(
        self, dsn: str, due: Sequence[Question]
    ) -> list[list[Answer] | QuestionError]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(question: Question) -> list[Answer] | QuestionError:
            async with turns:
                return await self._ask(dsn, question)

        outcomes = await asyncio.gather(*map(ask, due))
        for number, outcome in enumerate(outcomes):
            # One question can end another's connection, but not when that is asked alone.
            if isinstance(outcome, LostError):
                outcomes[number] = await self._ask(dsn, due[number])
        return outcomes

    async def _ask(self, dsn: str, question: Question) -> list[Answer] | QuestionError:
        try:
            return await questions.ask(dsn, question.sql, self.timeout_s)
        except QuestionError as error:
            return error

    async def _take(
        self, question: Question, outcome: list[Answer] | QuestionError, at: datetime
    ) -> None:
        if isinstance(outcome, QuestionError):
            async with self.pool.connection() as connection:
                await faults.fail(connection, [question.id], str(outcome), at)
            return
        self.put([Sample(_series(question, answer), at, answer.value) for answer in outcome])
        if question.has_failed:
            async with self.pool.connection() as connection:
                await faults.recover(connection, [question.id])


def _series(question: Question, answer: Answer) -> Series:
    return Series(
        metric=question.metric,
        component=answer.component or question.component or COMPONENT,
        category=question.category or Category.SYSTEM,
        labels=answer.labels,
    )
