"""Exports: the past as a stream of rows that may be endless, and that nobody has to wait behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import structlog
from litestar import Response
from litestar.types import Receive, Scope, Send

from api import buckets, reading, samples
from api import grid as grids
from api.formats import MEDIA_TYPES, Csv, Format, Ndjson, Subject
from api.limits import Concurrency
from api.parts import Parts
from api.question import Question
from api.reading import Member
from db import export

log = structlog.get_logger()

SERIES_MAX = 10_000
ROWS_ESTIMATE = "x-vigia-rows-estimate"
"""A header for whoever shows progress: about how many rows will follow."""
NAME = "vigia-{start:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}.{suffix}"

TEXTS: Mapping[str, type[Format]] = {kind.name: kind for kind in (Csv, Ndjson)}

Headers = list[tuple[bytes, bytes]]


class Export(Response[Any]):
    """An answer that is read from the database while it is sent.

    What goes wrong before the first rows are read is answered as any error is. What goes wrong
    later cuts the connection: without its last chunk, no client takes the answer for a whole one.
    """

    def __init__(self, parts: Parts, asked: Question) -> None:
        super().__init__(b"")
        self._parts = parts
        self._asked = asked

    def to_asgi_response(self, *_arguments: Any, **_options: Any) -> Any:
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check(self._asked)
        async with self._parts.limiters[Concurrency.EXPORT].slot(scope["user"].name):
            headers, bodies = await self._open()
            async with aclosing(bodies):
                first = await anext(bodies) + await anext(bodies)
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _stream(first, bodies, receive, send)

    async def _open(self) -> tuple[Headers, AsyncGenerator[bytes, None]]:
        asked, parts = self._asked, self._parts
        interval_s = parts.config().intervals.collect_s
        async with parts.connect_reader() as connection:
            about = await reading.find(connection, asked, SERIES_MAX)
            extents = await export.extents(connection, [one.id for one in about.series])
            rows = (
                await samples.find(connection, asked, about, extents, interval_s)
                if asked.is_raw
                else buckets.find(asked, about, extents, interval_s)
            )
        subjects = [_subject(line) for line in reading.members(asked, about.series)]
        columns = ["value"] if asked.is_raw else asked.aggregates
        form = (await _format(asked.format))(subjects, columns)
        return _headers(asked, form, rows.rows_estimate), _bodies(
            rows.pages(parts.connect_reader, form), form
        )


def _check(asked: Question) -> None:
    """Refuse what can be refused before the database is asked."""
    grids.make(asked.start, asked.end, asked.step_s or 1, asked.zone, bounded=False)


async def _format(name: str) -> type[Format]:
    return TEXTS[name] if name in TEXTS else await asyncio.to_thread(_arrow)


def _arrow() -> type[Format]:
    from api.arrow import Arrow  # noqa: PLC0415 (40 MB of memory, for those who ask for it)

    return Arrow


def _subject(line: Member) -> Subject:
    def common(values: Iterable[str]) -> str | None:
        first, *others = set(values)
        return None if others else first

    return Subject(
        metric=line.metric,
        component=line.component,
        category=common(one.category for one in line.series),
        labels=line.labels,
        unit=common(one.unit for one in line.series),
        kind=common(one.kind.value for one in line.series),
    )


def _headers(asked: Question, form: Format, rows_estimate: int) -> Headers:
    name = NAME.format(start=asked.start, end=asked.end, suffix=form.name)
    headers = {
        "content-type": MEDIA_TYPES[form.name],
        "content-disposition": f'attachment; filename="{name}"',
        ROWS_ESTIMATE: str(rows_estimate),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _bodies(pages: AsyncIterator[bytes], form: Format) -> AsyncGenerator[bytes, None]:
    yield form.begin()
    async for page in pages:
        if page:
            yield page
    yield form.end()


async def _stream(first: bytes, bodies: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    gone = asyncio.create_task(_hang_up(receive))
    try:
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for body in bodies:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except Exception as error:
        log.warning("export_cut_off", error=f"{type(error).__name__}: {error}".strip())
        raise
    finally:
        gone.cancel()


async def _hang_up(receive: Receive) -> None:
    """Return when the client is not there any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
