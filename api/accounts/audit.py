"""The route of the security audit, for admins."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from alerts.store import ID_MAX
from api.http.access import ROLE
from api.http.context import AppContext
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE
from audit import log as audit_log
from model.principal import Role
from model.times import parse_time, utc_now

OnlyType = Annotated[
    audit_log.Type | None, QueryParameter(description="Return only entries of this type.")
]
Start = Annotated[
    str, QueryParameter(description="Earliest time, absolute or relative such as -7d; inclusive.")
]
End = Annotated[str, QueryParameter(description="Latest time, absolute or `now`; exclusive.")]


@get(
    f"{BASE}/security/events",
    opt={ROLE: Role.ADMIN},
    tags=["security"],
    summary="Refused requests and changes of settings, rules and keys, newest first",
)
async def events(
    context: NamedDependency[AppContext],
    type: OnlyType = None,  # noqa: A002 (the parameter's name in the address)
    start: Start = "-7d",
    end: End = "now",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[audit_log.Logged]:
    now = utc_now()
    times = parse_time(start, now), parse_time(end, now)
    before = position(cursor, ID_MAX)
    async with context.connect() as connection:
        found = await audit_log.past(connection, type, *times, before, limit + 1)
    return page(found, limit, lambda event: event.id)
