"""The series that each rule covers, and the inputs it reads; updated before each evaluation.

New and changed rules and series are marked (`is_covered = false`). Partial indexes hold only these
rows, so a minute without changes costs two lookups in empty indexes.
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
    """Return the query for the series that the rules of a source cover."""
    return queries.fill(
        _PARTS["rule_series"],
        rule_columns=_PARTS["rule_columns"],
        source=source,
        positions=_POSITIONS,
    )


INPUTS = {name: _PARTS[name] for name in ("wanted_inputs", "with_inputs")}
"""The parts that join rule series with their inputs, for stored rules and for drafts."""
COVER = queries.fill(_QUERIES["cover"], rule_series=of(_PARTS["some.source"]), **INPUTS)


class _Changed(Struct, frozen=True):
    rule_ids: list[int]
    series_ids: list[int]


async def is_stale(connection: Connection) -> bool:
    """Return whether there are new or changed rules or series."""
    found: bool = await queries.value(connection, IS_STALE)
    return found


async def cover(connection: Connection) -> None:
    """Store which series new and changed rules cover, and which rules cover new series.

    Runs in the caller's transaction, which holds the evaluation clock: two callers at once would
    each miss what the other adds.
    """
    [new] = await queries.rows(connection, _Changed, MARK)
    if new.rule_ids:
        await queries.run(connection, DROP, rule_ids=new.rule_ids)
    if new.rule_ids or new.series_ids:
        await queries.run(connection, COVER, rule_ids=new.rule_ids, series_ids=new.series_ids)
