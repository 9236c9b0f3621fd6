"""Settings that people change at run time."""

from typing import Annotated, Any

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from api.door import ROLE
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import changing
from db import config
from db.alerts import ID_MAX
from vigia.model import Role, utc_now

OnlyKey = Annotated[str | None, QueryParameter(description="Only changes of this setting.")]


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """What a setting is to be."""

    value: Any


@get(f"{BASE}/config", tags=["config"], summary="Every setting")
async def every(parts: NamedDependency[Parts]) -> Page[config.Entry]:
    async with parts.connect() as connection:
        return Page(await config.entries(connection), None)


@get(f"{BASE}/config/history", tags=["config"], summary="Changes of settings, newest first")
async def history(
    parts: NamedDependency[Parts],
    key: OnlyKey = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[config.Change]:
    async with parts.connect() as connection:
        found = await config.history(connection, key, position(cursor, ID_MAX), limit + 1)
    return page(found, limit, lambda change: change.id)


@get(f"{BASE}/config/{{key:str}}", tags=["config"], summary="One setting")
async def one(parts: NamedDependency[Parts], key: FromPath[str]) -> config.Entry:
    async with parts.connect() as connection:
        return await config.entry(connection, key)


@put(f"{BASE}/config/{{key:str}}", opt={ROLE: Role.ADMIN}, tags=["config"], summary="Change it")
async def change(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    key: FromPath[str],
    data: JSONBody[Wanted],
) -> config.Entry:
    async with parts.connect() as connection:
        changed = await config.write(connection, key, data.value, utc_now(), request.user.name)
        entry = await config.entry(connection, key)
    await parts.set_config(changed)
    parts.receivers.horizon.forget()
    if key == "dependencies":
        async with changing(parts, request.user.name):
            pass
    return entry
