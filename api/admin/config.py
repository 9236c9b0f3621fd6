"""Routes of the settings that can be changed at run time."""

from typing import Annotated, Any

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct
from msgspec.structs import replace

from alerts.store import ID_MAX
from api.alerts.suppression import changing
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE
from config import store as config
from model.principal import Role
from model.text import host_of
from model.times import utc_now
from notifications.actions.naming import check_channels

OnlyKey = Annotated[str | None, QueryParameter(description="Return only changes of this setting.")]


ADDRESSED = {"targets", "scrapes"}
CHANGED = {409: documented("The setting differs from `previous`: somebody changed it since.")}


def _shown(value: Any, key: str, role: Role) -> Any:
    """Return a value as a role may see it: only admins see paths and queries of addresses."""
    if role is Role.ADMIN or key not in ADDRESSED or not isinstance(value, list):
        return value
    return [
        {**one, "url": host_of(one["url"])} if isinstance(one, dict) and "url" in one else one
        for one in value
    ]


def _entry_for(entry: config.Entry, role: Role) -> config.Entry:
    return replace(
        entry,
        value=_shown(entry.value, entry.key, role),
        default=_shown(entry.default, entry.key, role),
    )


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """The new value of a setting; with `previous`, only if the present value equals that."""

    value: Any
    previous: Any = UNSET


@get(f"{BASE}/config", tags=["config"], summary="Every setting")
async def every(request: KnownRequest, context: NamedDependency[AppContext]) -> Page[config.Entry]:
    async with context.connect() as connection:
        found = await config.entries(connection)
    return Page([_entry_for(entry, request.user.role) for entry in found], None)


@get(f"{BASE}/config/history", tags=["config"], summary="Changes of settings, newest first")
async def history(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    key: OnlyKey = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[config.Change]:
    async with context.connect() as connection:
        found = await config.history(connection, key, position(cursor, ID_MAX), limit + 1)
    role = request.user.role
    shown = [
        replace(
            change,
            old_value=_shown(change.old_value, change.key, role),
            new_value=_shown(change.new_value, change.key, role),
        )
        for change in found
    ]
    return page(shown, limit, lambda change: change.id)


@get(f"{BASE}/config/{{key:str}}", tags=["config"], summary="One setting")
async def one(
    request: KnownRequest, context: NamedDependency[AppContext], key: FromPath[str]
) -> config.Entry:
    async with context.connect() as connection:
        return _entry_for(await config.entry(connection, key), request.user.role)


@put(
    f"{BASE}/config/{{key:str}}",
    opt={ROLE: Role.ADMIN},
    tags=["config"],
    summary="Change a setting",
    responses=CHANGED,
)
async def change(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    key: FromPath[str],
    data: JSONBody[Wanted],
) -> config.Entry:
    author = (utc_now(), request.user.name)
    async with context.connect() as connection, connection.transaction():
        if data.previous is UNSET:
            changed = await config.write(connection, key, data.value, *author)
        else:
            changed = await config.replace(connection, key, data.value, data.previous, *author)
        if key == "actions":
            await check_channels(connection, changed.actions)
        entry = await config.entry(connection, key)
    await context.renew_config()
    context.receivers.accepted_times.forget()
    if key == "dependencies":
        async with changing(context, request.user.name):
            pass
    return entry
