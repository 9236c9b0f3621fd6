"""What was refused, counted in memory: neither an answer nor the database pays for a flood."""

from ipaddress import ip_address

from litestar.types import Scope
from msgspec.structs import replace

from audit.log import REFUSALS, Event, Type, log
from db.queries import Pool
from model.times import utc_now

KINDS_MAX = 1000
"""Refusals of a type that differ and are told apart between two flushes."""
ROWS_MAX = 10
"""Rows of the audit for each type and flush; the rest are counted in one more."""
OTHERS = "others"

Likeness = tuple[str, str, str]


class Refusals:
    """Refusals since the last flush, those that are alike put together."""

    def __init__(self) -> None:
        self._events: dict[Type, dict[Likeness, Event]] = {kind: {} for kind in REFUSALS}

    def note(self, kind: Type, scope: Scope, actor: str = "") -> None:
        """Count one request; never waits."""
        self.add(Event(utc_now(), kind, actor, _address(scope), _asked(scope)))

    def add(self, event: Event) -> None:
        """Count an event; once too many differ, only how many there are of its type."""
        events = self._events[event.type]
        if _likeness(event) not in events and len(events) >= KINDS_MAX:
            event = replace(event, actor="", address="", detail=OTHERS)
        alike = events.get(_likeness(event))
        count = event.count + (alike.count if alike else 0)
        events[_likeness(event)] = replace(alike or event, count=count)

    async def flush(self, pool: Pool) -> None:
        """Write what was refused to the audit; while the database is away, it waits."""
        if refused := self._take():
            try:
                async with pool.connection() as connection:
                    await log(connection, *refused)
            except BaseException:
                for event in refused:
                    self.add(event)
                raise

    def _take(self) -> list[Event]:
        """Return at most ROWS_MAX + 1 events of each type, the most frequent first, and forget."""
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
    """Return method and route: a path is what its sender likes, and may hold anything."""
    return f"{scope.get('method', 'WebSocket')} {scope.get('path_template') or 'no such address'}"


def _address(scope: Scope) -> str:
    """Return who asks, by the trusted proxies' word if there are any; empty for no address."""
    host, _ = scope.get("client") or ("", 0)
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""
