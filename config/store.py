"""Settings that people change at run time: defaults here, changes in monitoring_config."""

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

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]
WRITE = _QUERIES["write"]
LOG = _QUERIES["log"]
LOCK = _QUERIES["lock_table"]
HISTORY = _QUERIES["history"]


class Changed(Struct, frozen=True):
    """One row of monitoring_config."""

    key: str
    value: Any
    updated_at: datetime
    updated_by: str


class Change(Struct, frozen=True):
    """One row of the audit; a value of None stands for the default."""

    id: int
    key: str
    old_value: Any
    new_value: Any
    changed_at: datetime
    changed_by: str


class Entry(Struct, frozen=True):
    """A setting as the API shows it; nobody has updated one that has its default."""

    key: str
    value: Any
    default: Any
    updated_at: datetime | None
    updated_by: str | None


async def read(connection: Connection) -> Config:
    """Return every setting. A stored value this version cannot read is as if it were not set."""
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
    """Return settings of stored values, which are judged together and not against defaults.

    Values that do not go together, which only another version can have stored, are put in force in
    the order in which they were stored, each if it goes together with those before it.
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
    """Return every setting with its default and its last change, by key."""
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
    """Return changes of one setting or of all, newest first, from below an id."""
    return await queries.rows(connection, Change, HISTORY, key=key, before=before, limit=limit)


async def entry(connection: Connection, key: str) -> Entry:
    """Return one setting. Raises NotFoundError."""
    _check_key(key)
    return next(found for found in await entries(connection) if found.key == key)


async def lock(connection: Connection) -> None:
    """Let nobody else change a setting until the end of this transaction."""
    await queries.run(connection, LOCK)


async def write(connection: Connection, key: str, value: Any, time: datetime, actor: str) -> Config:
    """Change one setting, with its audit, and return all of them. Raises as `write_all`."""
    return await write_all(connection, {key: value}, time, actor)


async def write_all(
    connection: Connection, values: Mapping[str, Any], time: datetime, actor: str
) -> Config:
    """Change settings together, each with its audit, and return all of them.

    Raises NotFoundError for an unknown key, InvalidError for a value that does not fit, alone or
    with the others.
    """
    for key in values:
        _check_key(key)
    async with connection.transaction():
        # What was read is what the new values are judged with: it must not change before they are
        # written, or two changes could be right alone and wrong together.
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
    """Change one setting if it is still what it was when the new value was made.

    Raises ConflictError if somebody has changed it since; else as `write_all`.
    """
    async with connection.transaction():
        await lock(connection)
        now = await entry(connection, key)
        if now.value != previous:
            raise ConflictError(
                f"{key} was changed by {now.updated_by!r} meanwhile; read it again, and send what "
                "it is then as previous"
            )
        return await write(connection, key, value, time, actor)


def with_value(config: Config, key: str, value: Any) -> Config:
    """Return the settings with one of them changed. Raises InvalidError if the value is wrong."""
    return with_values(config, {key: value})


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the settings with some of them changed. Raises InvalidError if a value is wrong."""
    converted = {key: _converted(key, value) for key, value in values.items()}
    try:
        return msgspec.structs.replace(config, **converted)
    except ValueError as error:
        raise InvalidError(f"{', '.join(values)}: {error}") from None


def _converted(key: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, Config.__annotations__[key])
    except ValueError as error:
        raise InvalidError(f"{key}: {error}") from None


def _check_key(key: str) -> None:
    if key not in Config.__struct_fields__:
        raise NotFoundError(f"there is no setting {key!r}; GET /config lists them")
