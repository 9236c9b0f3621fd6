"""Routes of hosts: when each last sent samples, and its removal."""

from typing import Annotated

from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from alerts import clock
from alerts import store as alerts
from alerts.suppression import suppress
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page
from api.paths import BASE
from audit import log as audit_log
from db.pool import LONG_DEADLINE_S
from hosts import store
from hosts.seen import Key
from hosts.store import Host
from model.errors import InvalidError, NotFoundError
from model.principal import Role
from model.times import utc_now

HOSTS = f"{BASE}/hosts"
MISSING = {404: documented("There is no host of this name.")}

OnlySilent = Annotated[
    bool, QueryParameter(description="Return only hosts that have stopped sending.")
]


@get(HOSTS, tags=["health"], summary="What sends samples, and when it was last seen, by name")
async def every(
    context: NamedDependency[AppContext],
    silent: OnlySilent = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Host]:
    after = _position(cursor)
    async with context.connect() as connection:
        found = await store.read(connection, limit + 1, after=after, only_silent=silent)
    items = found[:limit]
    more = len(found) > limit
    return Page(items, f"{items[-1].kind}:{items[-1].name}" if more else None)


@delete(
    f"{HOSTS}/{{name:str}}",
    opt={ROLE: Role.OPERATOR},
    responses=MISSING,
    tags=["health"],
    summary="Remove a host that is gone for good, and resolve its alerts",
)
async def remove(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> None:
    """Remove a host. If it sends again, it is back."""
    now, actor = utc_now(), request.user.name
    async with context.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        await clock.lock(connection)
        kinds = await store.remove(connection, name, now)
        if not kinds:
            raise NotFoundError(f"there is no host {name[:100]!r}")
        resolved = await alerts.resolve_of_hosts(connection, name, kinds, now, actor)
        event = audit_log.Event(now, audit_log.Type.HOST_REMOVED, actor, detail=f"host {name}")
        await audit_log.log(connection, event)
        await suppress.apply_and_announce(
            connection,
            now,
            context.config().all_dependencies(),
            actor,
            context.on_transitions,
            resolved,
        )
    context.announce()


def _position(cursor: str | None) -> Key:
    """Return the name and the kind in a cursor."""
    if cursor is None:
        return "", ""
    kind, separator, name = cursor.partition(":")
    if not separator or kind not in {"host", "component"}:
        raise InvalidError("cursor is not valid; send the cursor of the previous page unchanged")
    return name, kind


ROUTES = (every, remove)
