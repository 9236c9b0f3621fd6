"""What the server's sessions do, as another one sees it."""

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
OWN_PID = _QUERIES["own_pid"]
IS_IDLE = _QUERIES["is_idle"]


async def own_pid(connection: Connection) -> int:
    """Return the server's process behind a connection, whatever stands between."""
    pid: int = await queries.value(connection, OWN_PID)
    return pid


async def is_idle(connection: Connection, pid: int, since_s: float) -> bool:
    """Whether the session of a process has waited for its client for some seconds, or is gone."""
    idle: bool = await queries.value(connection, IS_IDLE, pid=pid, since_s=since_s)
    return idle
