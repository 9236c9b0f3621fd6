"""What breaks a limit, but not yet for long enough."""

from litestar import get
from litestar.di import NamedDependency

from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import Parts
from api.probes import BASE
from db import pending
from db.pending import Pending


@get(
    f"{BASE}/alerts/pending",
    tags=["alerts"],
    summary="What breaks a limit and waits for `for` to pass, those first that fire first",
)
async def read(
    parts: NamedDependency[Parts], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[Pending]:
    skip = position(cursor, 0)
    async with parts.connect() as connection:
        found = await pending.read(connection, limit + 1, skip)
    return page(found, limit, lambda _: skip + limit)
