"""The route of pending instances: breached, but not yet for the `for` of their rule."""

from litestar import get
from litestar.di import NamedDependency

from alerts import pending
from alerts.pending import Pending
from api.http.context import AppContext
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE


@get(
    f"{BASE}/alerts/pending",
    tags=["alerts"],
    summary="Instances that are breached, but not yet for `for`; next to fire first",
)
async def read(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[Pending]:
    skip = position(cursor, 0)
    async with context.connect() as connection:
        found = await pending.read(connection, limit + 1, skip)
    return page(found, limit, lambda _: skip + limit)
