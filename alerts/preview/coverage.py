"""Records why a preview can differ from live evaluation: late samples, and evaluation gaps."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from alerts.rules.model import Rule, columns
from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
OF_RULES = _QUERIES["of_rules"]
DROP_OLD = _QUERIES["drop_old"]
GAPS = _QUERIES["gaps"]
DROP_OLD_GAPS = _QUERIES["drop_old_gaps"]
SHOWN_MAX = 20


class Late(Struct, frozen=True):
    """Late samples of one series on one day: oldest, newest, arrival of the last, and number."""

    metric: str
    component: str
    labels: dict[str, str]
    start: datetime
    end: datetime
    arrived_at: datetime
    samples: int


class Gap(Struct, frozen=True):
    """Minutes that were never evaluated, from the first one to the next evaluated minute."""

    start: datetime
    end: datetime


class _Found(Late, frozen=True):
    total: int


class _FoundGap(Gap, frozen=True):
    total: int


async def of_rules(
    connection: Connection, rules: Sequence[Rule], start: datetime, end: datetime
) -> tuple[list[Late], int]:
    """Return the first SHOWN_MAX late samples that rules see in a range, and their total number."""
    found = await queries.rows(
        connection,
        _Found,
        OF_RULES,
        rules=Jsonb([columns(rule) for rule in rules]),
        start=start,
        end=end,
        limit=SHOWN_MAX,
    )
    shown = [msgspec.convert(one, Late, from_attributes=True) for one in found]
    return shown, found[0].total if found else 0


async def gaps(connection: Connection, start: datetime, end: datetime) -> tuple[list[Gap], int]:
    """Return the first SHOWN_MAX evaluation gaps that overlap a range, and their total number."""
    found = await queries.rows(connection, _FoundGap, GAPS, start=start, end=end, limit=SHOWN_MAX)
    return [Gap(one.start, one.end) for one in found], found[0].total if found else 0


async def drop_old(connection: Connection) -> None:
    """Delete records of times that no preview can evaluate any more."""
    await queries.run(connection, DROP_OLD)
    await queries.run(connection, DROP_OLD_GAPS)
