"""Settings that people change at run time."""

from typing import Annotated, Any

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct
from msgspec.structs import replace

from api.door import ROLE
from api.errors import documented
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import changing
from db import config
from db.alerts import ID_MAX
from vigia.model import Role, utc_now
from vigia.text import host_of

OnlyKey = Annotated[str | None, QueryParameter(description="Only changes of this setting.")]


ADDRESSED = {"targets", "scrapes"}
CHANGED = {409: documented("It is not `previous` any more: somebody has changed it since.")}


def _shown(value: Any, key: str, role: Role) -> Any:
    """Return a value as a role may see it: the inside of addresses, for admins alone."""
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
    """What a setting is to be; with `previous`, only if it is still that."""

    value: Any
    previous: Any = UNSET


@get(f"{BASE}/config", tags=["config"], summary="Every setting")
async def every(request: KnownRequest, parts: NamedDependency[Parts]) -> Page[config.Entry]:
    async with parts.connect() as connection:
        found = await config.entries(connection)
    return Page([_entry_for(entry, request.user.role) for entry in found], None)


@get(f"{BASE}/config/history", tags=["config"], summary="Changes of settings, newest first")
async def history(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    key: OnlyKey = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[config.Change]:
    async with parts.connect() as connection:
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
    request: KnownRequest, parts: NamedDependency[Parts], key: FromPath[str]
) -> config.Entry:
    async with parts.connect() as connection:
        return _entry_for(await config.entry(connection, key), request.user.role)


@put(
    f"{BASE}/config/{{key:str}}",
    opt={ROLE: Role.ADMIN},
    tags=["config"],
    summary="Change it",
    responses=CHANGED,
)
async def change(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    key: FromPath[str],
    data: JSONBody[Wanted],
) -> config.Entry:
    async with parts.connect() as connection:
        author = (utc_now(), request.user.name)
        if data.previous is UNSET:
            changed = await config.write(connection, key, data.value, *author)
        else:
            changed = await config.replace(connection, key, data.value, data.previous, *author)
        entry = await config.entry(connection, key)
    await parts.set_config(changed)
    parts.receivers.horizon.forget()
    if key == "dependencies":
        async with changing(parts, request.user.name):
            pass
    return entry
