"""Reads and changes run-time settings in `monitoring_config`, with an audit of every change."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from psycopg.types.json import Jsonb

from audit import log as audit_log
from config.model import Config
from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.validation.nearest import did_you_mean
from model.validation.words import explain

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]
WRITE = _QUERIES["write"]
LOG = _QUERIES["log"]
LOCK = _QUERIES["lock_table"]
HISTORY = _QUERIES["history"]


class Changed(Struct, frozen=True):
    """A row of `monitoring_config`: a setting that differs from its default, or once did."""

    key: str
    value: Any
    updated_at: datetime
    updated_by: str


class Change(Struct, frozen=True):
    """A row of the history of settings; a value of None means the default."""

    id: int
    key: str
    old_value: Any
    new_value: Any
    changed_at: datetime
    changed_by: str


class Entry(Struct, frozen=True):
    """A setting as the API shows it; `updated_at` is None if it was never changed."""

    key: str
    value: Any
    default: Any
    updated_at: datetime | None
    updated_by: str | None


async def read(connection: Connection) -> Config:
    """Return all settings. A stored value that this version cannot read is ignored and logged."""
    stored: dict[str, Any] = {}
    rows = await queries.rows(connection, Changed, READ)
    for row in sorted(rows, key=lambda row: row.updated_at):
        if row.key in Config.__struct_fields__:
            try:
                stored[row.key] = _converted(row.key, row.value)
            except InvalidError as error:
                log.warning("setting_ignored", key=row.key, error=str(error))
    return _whole(stored)


def _whole(stored: Mapping[str, Any]) -> Config:
    """Return the settings with stored values, which are checked together, not against defaults.

    Only another version can have stored values that conflict. Then they are applied in the order
    in which they were stored; each value that conflicts with earlier ones is ignored and logged.
    """
    with suppress(ValueError):
        return Config(**stored)
    config = Config()
    for key, value in stored.items():
        try:
            config = msgspec.structs.replace(config, **{key: value})
        except ValueError as error:
            log.warning("setting_ignored", key=key, error=str(error))
    return config


async def entries(connection: Connection) -> list[Entry]:
    """Return all settings with default and last change, ordered by key."""
    changed = {row.key: row for row in await queries.rows(connection, Changed, READ)}
    defaults: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(Config()))
    return [
        Entry(
            key=key,
            value=changed[key].value if key in changed else default,
            default=default,
            updated_at=changed[key].updated_at if key in changed else None,
            updated_by=changed[key].updated_by if key in changed else None,
        )
        for key, default in sorted(defaults.items())
    ]


async def history(connection: Connection, key: str | None, before: int, limit: int) -> list[Change]:
    """Return changes of one setting or of all, newest first, with ids below `before`."""
    return await queries.rows(connection, Change, HISTORY, key=key, before=before, limit=limit)


async def entry(connection: Connection, key: str) -> Entry:
    """Return one setting. Raises NotFoundError."""
    _check_key(key)
    return next(found for found in await entries(connection) if found.key == key)


async def lock(connection: Connection) -> None:
    """Lock the settings against other changes until the end of the transaction."""
    await queries.run(connection, LOCK)


async def write(connection: Connection, key: str, value: Any, time: datetime, actor: str) -> Config:
    """Change one setting, with audit, and return all settings. Raises as `write_all` does."""
    return await write_all(connection, {key: value}, time, actor)


async def write_all(
    connection: Connection, values: Mapping[str, Any], time: datetime, actor: str
) -> Config:
    """Change several settings together, each with audit, and return all settings.

    Raises NotFoundError for an unknown key, and InvalidError for a value that is invalid, alone or
    together with other settings.
    """
    for key in values:
        _check_key(key)
    async with connection.transaction():
        # Lock before reading: new values are checked together with the stored ones. Otherwise two
        # concurrent changes could each be valid alone, but invalid together.
        await lock(connection)
        config = with_values(await read(connection), values)
        for key in values:
            stored = Jsonb(msgspec.to_builtins(getattr(config, key)))
            await queries.run(connection, LOG, key=key, value=stored, time=time, actor=actor)
            await queries.run(connection, WRITE, key=key, value=stored, time=time, actor=actor)
            event = audit_log.Event(time, audit_log.Type.SETTING_CHANGED, actor, detail=key)
            await audit_log.log(connection, event)
    return config


async def replace(
    connection: Connection, key: str, value: Any, previous: Any, time: datetime, actor: str
) -> Config:
    """Change one setting if its value still equals `previous`.

    Raises ConflictError if somebody changed it, and otherwise as `write_all` does.
    """
    async with connection.transaction():
        await lock(connection)
        now = await entry(connection, key)
        if now.value != previous:
            raise ConflictError(
                f"{key} was changed by {now.updated_by!r} in the meantime; read it again, and send "
                "its present value as previous"
            )
        return await write(connection, key, value, time, actor)


def with_value(config: Config, key: str, value: Any) -> Config:
    """Return the settings with one value changed. Raises InvalidError if it is invalid."""
    return with_values(config, {key: value})


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the settings with values changed. Raises InvalidError if a value is invalid."""
    converted = {key: _converted(key, value) for key, value in values.items()}
    try:
        return msgspec.structs.replace(config, **converted)
    except ValueError as error:
        raise InvalidError(f"{', '.join(values)}: {error}") from None


def _converted(key: str, value: Any) -> Any:
    kind = Config.__annotations__[key]
    try:
        return msgspec.convert(value, kind)
    except ValueError as error:
        raise InvalidError(explain(error, kind, value, root=key)) from None


def _check_key(key: str) -> None:
    if key not in Config.__struct_fields__:
        meant = did_you_mean(key, Config.__struct_fields__) or "; GET /config lists them"
        raise NotFoundError(f"there is no setting {key[:100]!r}{meant}")
