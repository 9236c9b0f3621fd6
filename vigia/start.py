"""The start of a service whose database may be away: it is awaited, unless it can never be had."""

import asyncio
import re
import time

import psycopg
import structlog

from db.pool import AwayError
from vigia.service import Service

log = structlog.get_logger()

RETRY_S = 0.5
GRACE_S = 30.0
"""A server that is being set up may not have the database or the role yet."""
FINAL = re.compile(
    "password authentication failed|no password supplied|no pg_hba.conf entry"
    "|(database|role) .* does not exist"
)
"""What PostgreSQL says where waiting changes nothing. It says it in the server's language: of other
languages, all is waited for."""
PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    TimeoutError,
)
"""Before an attempt may have succeeded; a standby that becomes the primary is read-only first."""


async def begin(service: Service, grace_s: float = GRACE_S) -> None:
    """Begin as soon as the database is there.

    Raises AwayError with the cause when that stays, for `grace_s`, one that only an operator can
    mend; at once what else is wrong with the database.
    """
    wrong_since, known = None, ""
    while True:
        try:
            return await service.begin()
        except PASSING as error:
            if service.engine.embedded:
                raise
            cause = service.pool.cause or str(error).strip() or type(error).__name__
        if cause != known:
            log.warning("start_waits", cause=cause)
            known = cause
        if FINAL.search(cause):
            wrong_since = wrong_since or time.monotonic()
            if time.monotonic() - wrong_since >= grace_s:
                raise AwayError(cause)
        else:
            wrong_since = None
        await asyncio.sleep(RETRY_S)
