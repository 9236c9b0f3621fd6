"""Exports history as a stream of rows of any length, without delaying other requests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from litestar import Response
from litestar.types import Receive, Scope, Send

from api.http.context import AppContext
from api.http.limits import Concurrency
from db.queries import Connection
from history import grid as grids
from history import planner
from history.export import buckets, samples
from history.export import pages as export
from history.export.formats import MEDIA_TYPES, Csv, Format, Ndjson, Subject
from history.planner import OutputLine
from history.query import HistoryQuery
from model.principal import Principal, Role, holder_of

log = structlog.get_logger()

SERIES_MAX = 10_000
PAGE_WAIT_S = 60.0
"""How long an export that has started waits for its next page before it is cut off."""
ROWS_ESTIMATE = "x-vigia-rows-estimate"
"""A header with the estimated number of rows, for clients that show progress."""
NAME = "vigia-{start:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}.{suffix}"

TEXTS: Mapping[str, type[Format]] = {kind.name: kind for kind in (Csv, Ndjson)}

Headers = list[tuple[bytes, bytes]]


class Export(Response[Any]):
    """A response that is read from the database while it is sent.

    An error before the first rows becomes a normal error response. A later error cuts the
    connection. The last chunk is then missing, so no client takes the response for complete.
    """

    def __init__(self, context: AppContext, requested: HistoryQuery) -> None:
        super().__init__(b"")
        self._context = context
        self._requested = requested

    def to_asgi_response(self, *_arguments: Any, **_options: Any) -> Any:
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check(self._requested)
        user: Principal = scope["user"]
        is_admin = user.role is Role.ADMIN
        limit = Concurrency.OPEN_ADMIN_EXPORT if is_admin else Concurrency.OPEN_EXPORT
        async with self._context.limiters[limit].slot(holder_of(user)):
            headers, bodies = await self._open(holder_of(user))
            async with aclosing(bodies):
                first = await anext(bodies) + await anext(bodies)
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _stream(first, bodies, receive, send)

    async def _open(self, key: str) -> tuple[Headers, AsyncGenerator[bytes, None]]:
        requested, context = self._requested, self._context
        interval_s = context.config().intervals.collect_s
        async with self._connect(key) as connection:
            available = await planner.find(connection, requested, SERIES_MAX)
            extents = await export.extents(connection, [one.id for one in available.series])
            rows = (
                await samples.find(connection, requested, available, extents, interval_s)
                if requested.is_raw
                else buckets.find(requested, available, extents, interval_s)
            )
        subjects = [_subject(line) for line in planner.output_lines(requested, available.series)]
        columns = ["value"] if requested.is_raw else requested.aggregates
        form = (await _format(requested.format))(subjects, columns)
        return _headers(requested, form, rows.rows_estimate), _bodies(
            rows.pages(partial(self._connect, key, PAGE_WAIT_S), form), form
        )

    @asynccontextmanager
    async def _connect(self, key: str, wait_s: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection to read one page, in turn with other exports. Sending needs none."""
        slot = self._context.limiters[Concurrency.EXPORT].slot(key, wait_s)
        async with slot, self._context.connect_reader() as connection:
            yield connection


def _check(requested: HistoryQuery) -> None:
    """Raise InvalidError for whatever is wrong without a look at the database."""
    grids.make(requested.start, requested.end, requested.step_s or 1, requested.zone, bounded=False)


async def _format(name: str) -> type[Format]:
    return TEXTS[name] if name in TEXTS else await asyncio.to_thread(_arrow)


def _arrow() -> type[Format]:
    from history.export.arrow import Arrow  # noqa: PLC0415 (40 MB of memory, for those who ask for it)

    return Arrow


def _subject(line: OutputLine) -> Subject:
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


def _headers(requested: HistoryQuery, form: Format, rows_estimate: int) -> Headers:
    name = NAME.format(start=requested.start, end=requested.end, suffix=form.name)
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
    """Return when the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
