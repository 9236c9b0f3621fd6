"""What a person sees at the start: where Vigia is, how to sign in, and a first key."""

import sys

import structlog

from db import keys
from db.queries import Pool
from vigia import __version__, log
from vigia.model import utc_now
from vigia.settings import Settings

BOOTSTRAP = "bootstrap"

_log = structlog.get_logger()


async def greet(pool: Pool, settings: Settings) -> None:
    """Print the addresses and a sign-in link, and make an admin key where nobody has one."""
    now = utc_now()
    async with pool.connection() as connection:
        link = await keys.offer_link(connection, now)
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
