"""The banner printed at the start: addresses, a sign-in link, and the first admin key."""

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
    """Print the banner as soon as the database answers, unless `stop` is set before.

    The sign-in link and the first key are stored in the database.
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
    """Print addresses and a sign-in link; create and print an admin key if there is none."""
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
        "             valid once, for one hour",
        f"  API        {settings.url}/api/v1/monitoring/",
        f"  WebSocket  {websocket}/",
    ]
    if made is not None:
        lines += [
            f"  Admin key  {made.reveal()}",
            "             shown only now; create more with: vigia keys create",
        ]
    if not log.write(sys.stdout, "\n".join([*lines, ""])):
        advice = "create a key to sign in with: vigia keys create NAME --role admin"
        _log.warning("addresses_not_printed", reason="standard output failed", advice=advice)
