"""What rules look at: kept as rows, and brought up to date before each evaluation.

Rules and series that are new or were changed say so themselves (`is_covered`), so that a minute in
which there are none costs a look at two empty indexes.
"""

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
_POSITIONS = queries.load_parts(__file__, "window_aggregates")["positions"]
IS_STALE = _QUERIES["is_stale"]
MARK = _QUERIES["mark"]
DROP = _QUERIES["drop"]


def of(source: queries.Query) -> queries.Query:
    """Return the query for what the rules of a source look at."""
    return queries.fill(
        _PARTS["rule_series"],
        rule_columns=_PARTS["rule_columns"],
        source=source,
        positions=_POSITIONS,
    )


INPUTS = {name: _PARTS[name] for name in ("wanted_inputs", "with_inputs")}
"""How targets and what they need come together: of rules that are there, and of drafts."""
COVER = queries.fill(_QUERIES["cover"], rule_series=of(_PARTS["some.source"]), **INPUTS)


class _Changed(Struct, frozen=True):
    rule_ids: list[int]
    series_ids: list[int]


async def is_stale(connection: Connection) -> bool:
    """Whether there are rules or series that are new or were changed."""
    found: bool = await queries.value(connection, IS_STALE)
    return found


async def cover(connection: Connection) -> None:
    """Find what new and changed rules look at, and which rules look at new series.

    In a transaction of the caller's, who holds the clock of the alerts: one at a time does this.
    """
    [new] = await queries.rows(connection, _Changed, MARK)
    if new.rule_ids:
        await queries.run(connection, DROP, rule_ids=new.rule_ids)
    if new.rule_ids or new.series_ids:
        await queries.run(connection, COVER, rule_ids=new.rule_ids, series_ids=new.series_ids)
