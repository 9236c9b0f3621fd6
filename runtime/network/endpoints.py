"""Finds the addresses on which Vigia and its databases listen. No target may be one of them."""

import asyncio
import socket
from collections.abc import Iterator

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from runtime.network.address_guard import THIS_MACHINE, Endpoint
from runtime.settings import Settings

POSTGRES_PORT = 5432
LOOK_UP_S = 5.0


async def own_endpoints(settings: Settings) -> frozenset[Endpoint]:
    """Return the endpoints that no target may have, whatever the operator allows.

    Each host name of a database is looked up once. A name without an address now is left out.
    """
    found = {(THIS_MACHINE, settings.port)}
    urls = (settings.database_url, settings.database_read_url, settings.trading_database_url)
    names = {place for url in urls if url is not None for place in _places(url.reveal())}
    answers = await asyncio.gather(*(_look_up(host, port) for host, port in names))
    return frozenset(found.union(*answers))


def _places(url: str) -> Iterator[tuple[str, int]]:
    """Yield every host and port of a connection string, which may name several."""
    try:
        words = conninfo_to_dict(url)
    except ProgrammingError:
        return  # The connection to the database fails later, with a message about the mistake.
    hosts = str(words.get("hostaddr") or words.get("host") or "").split(",")
    ports = str(words.get("port") or POSTGRES_PORT).split(",")
    for number, host in enumerate(hosts):
        port = ports[number] if number < len(ports) else ports[-1]
        yield host, int(port) if port.isdigit() else POSTGRES_PORT


async def _look_up(host: str, port: int) -> set[Endpoint]:
    if not host or host.startswith(("/", "@")):
        # A Unix socket has no port, but its server usually listens on a TCP port as well.
        return {(THIS_MACHINE, port)}
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOK_UP_S):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError):
        return set()
    return {(str(address[0]), port) for *_, address in infos}
