"""Reads the state of the server's sessions."""

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
OWN_PID = _QUERIES["own_pid"]
IS_IDLE = _QUERIES["is_idle"]


async def own_pid(connection: Connection) -> int:
    """Return the process id of a connection's session on the server, even behind a proxy."""
    pid: int = await queries.value(connection, OWN_PID)
    return pid


async def is_idle(connection: Connection, pid: int, since_s: float) -> bool:
    """Return whether a session has been idle for `since_s` seconds, or has ended."""
    idle: bool = await queries.value(connection, IS_IDLE, pid=pid, since_s=since_s)
    return idle
