"""What breaks a limit, but not yet for long enough."""

from litestar import get
from litestar.di import NamedDependency

from alerts import pending
from alerts.pending import Pending
from api.http.context import AppContext
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.probes import BASE


@get(
    f"{BASE}/alerts/pending",
    tags=["alerts"],
    summary="What breaks a limit and waits for `for` to pass, those first that fire first",
)
async def read(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[Pending]:
    skip = position(cursor, 0)
    async with context.connect() as connection:
        found = await pending.read(connection, limit + 1, skip)
    return page(found, limit, lambda _: skip + limit)
