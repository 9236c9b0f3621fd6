"""Stores when hosts were last seen, judges which are silent, and removes hosts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from db import queries
from db.queries import Connection
from hosts.seen import Key, SeenHost
from model.times import time_of

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
RECORD = queries.fill(_QUERIES["record"], limit=_PARTS["limit"])
JUDGE = queries.fill(_QUERIES["judge"], limit=_PARTS["limit"])
READ = _QUERIES["read"]
REMOVE = _QUERIES["remove"]
FORGET_NEWEST = _QUERIES["forget_newest"]
DROP_OLD = _QUERIES["drop_old"]

SILENT_MIN_S = 120.0
INTERVALS = 3.0
"""A host is silent after this many of its usual intervals, but not before SILENT_MIN_S."""
SAMPLES_MIN = 10
"""A host that has sent fewer live samples raises no alert: somebody may have tried a command."""
GAP = timedelta(seconds=60)
"""If nobody judged for longer, the service was off or the database away: silence counts anew."""
RETURN_REPORTED_FOR = timedelta(minutes=5)
"""How long a 0 is written after a return, so that an evaluation may be missed."""
REMEMBERED = timedelta(days=9)
"""How long removals are remembered: longer than any window of a rule."""

Kind = Literal["host", "component"]


class Host(Struct, frozen=True):
    """A host, or a component that sends without the label `host`.

    `usual_interval_s` is null while it is unknown. `silent_since` is the time of its last sample,
    or null while it sends.
    """

    name: str
    kind: Kind
    component: str
    last_seen: datetime
    usual_interval_s: float | None
    silent_since: datetime | None

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its series that tell it apart."""
        return {"host": self.name} if self.kind == "host" else {}


class _Removed(Struct, frozen=True):
    kind: Kind


async def record(connection: Connection, seen: Mapping[Key, SeenHost]) -> None:
    """Store which hosts were seen since the last call."""
    if seen:
        await queries.run(
            connection,
            RECORD,
            names=[name for name, _ in seen],
            kinds=[kind for _, kind in seen],
            components=[host.component for host in seen.values()],
            firsts=[time_of(host.first_us) for host in seen.values()],
            lasts=[time_of(host.last_us) for host in seen.values()],
            samples=[host.samples for host in seen.values()],
            silent_min_s=SILENT_MIN_S,
            intervals=INTERVALS,
        )


async def judge(connection: Connection, at: datetime, started: datetime) -> list[Host]:
    """Judge all hosts at a time; return the silent ones, and those that are back for a while.

    `started` is when this process began to judge: silence before it does not count.
    """
    return await queries.rows(
        connection,
        Host,
        JUDGE,
        at=at,
        started=started,
        gap=GAP,
        return_reported_for=RETURN_REPORTED_FOR,
        samples_min=SAMPLES_MIN,
        silent_min_s=SILENT_MIN_S,
        intervals=INTERVALS,
    )


async def read(
    connection: Connection,
    limit: int,
    *,
    after: Key = ("", ""),
    only_silent: bool = False,
) -> list[Host]:
    """Return at most `limit` hosts after a name and kind, in the order of names."""
    return await queries.rows(
        connection,
        Host,
        READ,
        after_name=after[0],
        after_kind=after[1],
        only_silent=only_silent,
        limit=limit,
    )


async def remove(connection: Connection, name: str, at: datetime) -> list[Kind]:
    """Remove a host until it sends again; return of which kinds it was, none if there is none."""
    removed = await queries.rows(connection, _Removed, REMOVE, name=name, at=at)
    kinds = [one.kind for one in removed]
    if kinds:
        await queries.run(connection, FORGET_NEWEST, name=name, kinds=kinds)
        await queries.run(connection, DROP_OLD, before=at - REMEMBERED)
    return kinds
