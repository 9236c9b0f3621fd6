"""The security audit, for those who administer the service."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.door import ROLE
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import Parts
from api.probes import BASE
from api.times import parse_time
from db import security
from db.alerts import ID_MAX
from vigia.model import Role, utc_now

OnlyType = Annotated[security.Type | None, QueryParameter(description="Only this type.")]
Start = Annotated[str, QueryParameter(description="At or after: a time, or such as -7d.")]
End = Annotated[str, QueryParameter(description="Before: a time, or `now`.")]


@get(
    f"{BASE}/security/events",
    opt={ROLE: Role.ADMIN},
    tags=["security"],
    summary="Who was refused, and who changed settings and keys, newest first",
)
async def events(
    parts: NamedDependency[Parts],
    type: OnlyType = None,  # noqa: A002 (the parameter's name in the address)
    start: Start = "-7d",
    end: End = "now",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[security.Logged]:
    now = utc_now()
    times = parse_time(start, now), parse_time(end, now)
    before = position(cursor, ID_MAX)
    async with parts.connect() as connection:
        found = await security.past(connection, type, *times, before, limit + 1)
    return page(found, limit, lambda event: event.id)
