"""The catalogue of series, the newest values, and the way in for samples of others."""

import asyncio
from datetime import timedelta
from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter, RawBody
from msgspec import Struct

from api.door import ROLE
from api.errors import documented
from api.ingest import native
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from db import current, series, tiers
from vigia.model import Role, utc_now

BODY_BYTES_MAX = 4 * 2**20
FUTURE = timedelta(minutes=10)
LATE_MARGIN = timedelta(days=2)
"""A late sample must still be there when the next maintenance rolls it up."""

Metric = Annotated[str | None, QueryParameter(description="Only this metric.")]
Component = Annotated[str | None, QueryParameter(description="Only this component.")]


class Verdict(Struct, frozen=True):
    """What became of the samples; `duplicate` were there already, and are as they were."""

    accepted: int
    duplicate: int
    rejected: int
    reasons: list[native.Reason]


@get(f"{BASE}/metrics", tags=["metrics"], summary="Catalogue of series")
async def catalogue(
    parts: NamedDependency[Parts],
    metric: Metric = None,
    component: Component = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[series.Described]:
    async with parts.connect() as connection:
        found = await series.catalogue(
            connection, metric, component, position(cursor, 0), limit + 1
        )
    return page(found, limit, lambda row: row.id)


@get(f"{BASE}/metrics/current", tags=["metrics"], summary="Newest value of every series")
async def newest(
    parts: NamedDependency[Parts], component: Component = None
) -> current.CurrentMetrics:
    async with parts.connect() as connection:
        return await current.read(connection, component)


@post(
    f"{BASE}/metrics",
    status_code=200,
    opt={ROLE: Role.INGEST},
    request_max_body_size=BODY_BYTES_MAX,
    responses={415: documented("The body is compressed.")},
    tags=["metrics"],
    summary="Store samples",
    description="Sending the same samples again changes nothing and answers `duplicate`.",
)
async def ingest(
    request: KnownRequest,
    body: RawBody,
    parts: NamedDependency[Parts],
) -> Verdict:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException("send the body without Content-Encoding", status_code=415)
    window = await _window(parts)
    # A full batch takes a fifth of a second to read: too long to hold up everyone else.
    checked = await asyncio.to_thread(native.read, body, window)
    rejected = checked.rejected.total()
    if not checked.samples:
        return Verdict(0, 0, rejected, checked.reasons())
    stored = await parts.write(checked.samples)
    return Verdict(stored.accepted, stored.duplicate, rejected, checked.reasons())


async def _window(parts: Parts) -> native.Window:
    """Return from when on samples can still be rolled up before their chunk is dropped."""
    now = utc_now()
    kept_from = now - timedelta(days=parts.config().retention.raw_days) + LATE_MARGIN
    async with parts.connect() as connection:
        accepted_from = await tiers.accepted_from(connection, now)
    return native.Window(max(kept_from, accepted_from or kept_from), now + FUTURE)
