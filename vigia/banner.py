"""What a person sees at the start: where Vigia is, how to sign in, and a first key."""

import asyncio
import sys
from contextlib import suppress

import structlog

from accounts import keys, sessions
from db.failures import FAILURES, describe
from db.queries import Pool
from model.times import utc_now
from runtime import log
from runtime.settings import Settings
from runtime.version import __version__

BOOTSTRAP = "bootstrap"
TIMEOUT_S = 5.0
RETRY_S = 1.0

_log = structlog.get_logger()


async def print_banner_when_possible(pool: Pool, settings: Settings, stop: asyncio.Event) -> None:
    """Greet as soon as the database is there, unless `stop` comes before.

    A sign-in link and a first key are made in it.
    """
    last_cause = ""
    while not stop.is_set():
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await print_banner(pool, settings)
        except FAILURES as error:
            if (cause := describe(error)) != last_cause:
                _log.warning("banner_waits", cause=cause)
            last_cause = cause
        else:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await stop.wait()


async def print_banner(pool: Pool, settings: Settings) -> None:
    """Print the addresses and a sign-in link, and make an admin key where nobody has one."""
    now = utc_now()
    async with pool.connection() as connection:
        link = await sessions.offer_link(connection, now)
        made = None
        if settings.admin_key is None:
            made = await keys.create_first(connection, BOOTSTRAP, now)
    websocket = settings.url.replace("http", "ws", 1)
    lines = [
        f"Vigia {__version__} is watching.",
        "",
        f"  Sign in    {settings.url}/sign-in?token={link.reveal()}",
        "             works once, within the hour",
        f"  API        {settings.url}/api/v1/monitoring/",
        f"  WebSocket  {websocket}/",
    ]
    if made is not None:
        lines += [
            f"  Admin key  {made.reveal()}",
            "             shown this once; more with: vigia keys create",
        ]
    if not log.write(sys.stdout, "\n".join([*lines, ""])):
        advice = "vigia keys create NAME --role admin makes a key to sign in with"
        _log.warning("addresses_not_printed", reason="standard output failed", advice=advice)
