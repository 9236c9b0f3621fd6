"""Counts refused requests in memory, so that a flood slows neither answers nor the database."""

from ipaddress import ip_address

from litestar.types import Scope
from msgspec.structs import replace

from audit.log import REFUSALS, Event, Type, log
from db.queries import Pool
from model.times import utc_now

KINDS_MAX = 1000
"""How many different refusals of a type are counted separately between two flushes."""
ROWS_MAX = 10
"""How many rows a flush writes for each type. One more row counts the rest."""
OTHERS = "others"

Likeness = tuple[str, str, str]


class Refusals:
    """Refusals since the last flush. Equal ones (actor, address, route) are one event."""

    def __init__(self) -> None:
        self._events: dict[Type, dict[Likeness, Event]] = {kind: {} for kind in REFUSALS}

    def note(self, kind: Type, scope: Scope, actor: str = "") -> None:
        """Count one refused request. It never waits."""
        self.add(Event(utc_now(), kind, actor, _address(scope), _asked(scope)))

    def add(self, event: Event) -> None:
        """Count an event. Beyond `KINDS_MAX` different ones, only its type is counted."""
        events = self._events[event.type]
        if _likeness(event) not in events and len(events) >= KINDS_MAX:
            event = replace(event, actor="", address="", detail=OTHERS)
        alike = events.get(_likeness(event))
        count = event.count + (alike.count if alike else 0)
        events[_likeness(event)] = replace(alike or event, count=count)

    async def flush(self, pool: Pool) -> None:
        """Write the refusals to the audit. If that fails, they are kept for the next flush."""
        if refused := self._take():
            try:
                async with pool.connection() as connection:
                    await log(connection, *refused)
            except BaseException:
                for event in refused:
                    self.add(event)
                raise

    def _take(self) -> list[Event]:
        """Remove all events, and return ROWS_MAX + 1 of each type, the most frequent first."""
        kept = []
        for kind, events in self._events.items():
            frequent = sorted(events.values(), key=lambda event: -event.count)
            kept += frequent[:ROWS_MAX]
            if rest := frequent[ROWS_MAX:]:
                count = sum(event.count for event in rest)
                kept.append(Event(rest[0].time, kind, detail=OTHERS, count=count))
            events.clear()
        return kept


def _likeness(event: Event) -> Likeness:
    return event.actor, event.address, event.detail


def _asked(scope: Scope) -> str:
    """Return the method and the route, but not the path: a client can write anything into it."""
    return f"{scope.get('method', 'WebSocket')} {scope.get('path_template') or 'no such address'}"


def _address(scope: Scope) -> str:
    """Return the client's IP address, as reported by a trusted proxy if there is one, or ""."""
    host, _ = scope.get("client") or ("", 0)
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""
