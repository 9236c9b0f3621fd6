"""Every named query is bound once, and the engine accepts its names, columns and casts."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from db import queries
from db.queries import Connection, Pool
from history import reader as history
from history.grid import Grid
from history.reader import Family, TierRead

ROOT = Path(queries.__file__).parents[1]
HEADER = re.compile(r"-- (name|part): ")
UTILITY = {
    "lock_table",
    "create_table",
    "create_extension",
    "run_job",
    "maintain",
    "checkpoint",
    "vacuum_table",
    "vacuum_and_analyze",
    "vacuum_invalidations",
    "copy",
}
PARAMETER = re.compile(rb"%\((\w+)\)[sb](::[\w ]+(?:\[\])?)?")


SLOT = re.compile(rb"\{\w+\}")
DAY_S = 86400


def is_ours(path: Path) -> bool:
    """Whether a file has queries, and is of a package that the service imports."""
    folder = path.relative_to(ROOT).parts[0]
    return (
        (ROOT / folder / "__init__.py").is_file()
        and folder != "bench"
        and "node_modules" not in path.parts
        and HEADER.match(path.read_text()) is not None
    )


FILES = [
    str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("[a-z]*/**/*.sql")) if is_ours(path)
]


def load(file: str) -> Mapping[str, bytes]:
    return queries.load(str(ROOT / file))


def all_queries() -> list[tuple[str, str]]:
    return [(file, name) for file in FILES for name in load(file)]


def whole_queries() -> list[tuple[str, str]]:
    """Return those that are not to be filled, and can be planned without being run."""
    return [
        (file, name)
        for file, name in all_queries()
        if name not in UTILITY and not SLOT.search(load(file)[name])
    ]


def test_text_before_the_first_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stray.sql").write_text("SELECT 1\n-- name: a\nSELECT 2\n")
    (tmp_path / "twice.sql").write_text("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")
    (tmp_path / "parts.sql").write_text("-- part: a\n1\n-- part: a\n2\n")

    for name in ("stray", "twice", "parts"):
        with pytest.raises(ValueError, match=name):
            queries.load(str(tmp_path / "module.py"), name)


def test_parts_are_no_queries_and_fill_their_slots(tmp_path: Path) -> None:
    module = str(tmp_path / "template.py")
    (tmp_path / "template.sql").write_text(
        "-- part: one.column\n1 AS {name}\n\n-- name: one\n-- Why.\nSELECT {column}\n"
    )

    query, part = queries.load(module)["one"], queries.load_parts(module)["one.column"]

    assert list(queries.load(module)) == ["one"]
    assert list(queries.load_parts(module)) == ["one.column"]
    assert queries.fill(query, column=part, name=b"x") == b"-- Why.\nSELECT 1 AS x"


def test_a_part_is_indented_like_its_slot_and_loses_its_comment_within_a_line() -> None:
    part = b"-- Why.\n-- And why.\na,\nb"

    assert queries.fill(b"SELECT\n  {x}\nFROM c", x=part) == (
        b"SELECT\n  -- Why.\n  -- And why.\n  a,\n  b\nFROM c"
    )
    assert queries.fill(b"SELECT {x}, {x}", x=b"-- Why.\na") == b"SELECT a, a"
    assert queries.fill(b"  ({x})", x=part) == b"  (a,\n      b)"


@pytest.mark.parametrize(("file", "name"), all_queries())
def test_each_query_is_bound_exactly_once_beside_its_file(file: str, name: str) -> None:
    modules = [path.read_text() for path in (ROOT / file).parent.glob("*.py")]
    of_this_file = [
        text
        for text in modules
        if f'load(__file__, "{Path(file).stem}")' in text
        or (ROOT / file).with_suffix(".py").is_file()
    ]

    assert sum(text.count(f'_QUERIES["{name}"]') for text in of_this_file) >= 1


@pytest.mark.parametrize(("file", "name"), whole_queries())
async def test_the_engine_can_plan_each_query(migrated_pool: Pool, file: str, name: str) -> None:
    """EXPLAIN with nulls: names, columns and casts are right."""
    text = load(file)[name]
    parameters = {match[1].decode(): None for match in PARAMETER.finditer(text)}
    async with (
        migrated_pool.connection() as connection,
        connection.transaction(force_rollback=True),
    ):
        await connection.execute(b"EXPLAIN " + text, parameters)


async def read_all(connection: Connection, reading: TierRead, family: Family) -> None:
    """Ask for every aggregate that a tier can tell, all at once and each by itself."""
    if family is Family.COUNTERS:
        await history.rates(connection, reading, ("rate", "increase"))
        return
    names = {
        Family.METRICS: history.FOLDED_AGGREGATES,
        Family.DISTRIBUTIONS: (*history.PERCENTILE_AGGREGATES, "min", "max"),
    }[family]
    if reading.tier.relation == "system_metrics":
        names += history.PERCENTILE_AGGREGATES
    read = history.fold if family is Family.METRICS else history.percentiles
    for some in (names, *((name,) for name in names)):
        assert await read(connection, reading, some) == []


class Remembering(dict[str, bytes]):
    """Parts that remember which of them were taken."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        super().__init__(parts)
        self.taken: set[str] = set()

    def __getitem__(self, name: str) -> bytes:
        self.taken.add(name)
        return super().__getitem__(name)


async def test_every_question_about_the_past_is_a_query_that_the_engine_can_run(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tier, each for itself and in groups, in steps and in days; and no part is left over."""
    parts = Remembering(queries.load_parts(history.__file__))
    monkeypatch.setattr(history, "_PARTS", parts)
    history.compose.cache_clear()
    calendar = Grid([DAY_S, 2 * DAY_S], DAY_S, 3600, is_calendar=True)
    async with pool.connection() as connection:
        found = await history.series_and_tiers(connection, [], None, [], 1)
        for tier in found.tiers:
            own = tier.width_s or 15
            families = {one.family for one in found.choices if one.relation == tier.relation}
            for grid in (Grid([0, own], own, -own), Grid([0, 7 * DAY_S], 7 * DAY_S, 0), calendar):
                for family in families:
                    for groups in (None, [0, 1]):
                        await read_all(connection, TierRead(tier, grid, [1, 2], groups), family)

    assert parts.taken == set(parts)
