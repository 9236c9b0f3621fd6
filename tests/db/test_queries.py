"""Every named query is bound once, and the engine accepts its names, columns and casts."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import db
from db import history, queries
from db.grid import Grid
from db.history import Family, Reading
from db.queries import Connection, Pool

FOLDER = Path(db.__file__).parent
SUBJECTS = sorted(path.stem for path in (FOLDER / "queries").glob("*.sql"))
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


def all_queries() -> list[tuple[str, str]]:
    return [(subject, name) for subject in SUBJECTS for name in queries.load(subject)]


def whole_queries() -> list[tuple[str, str]]:
    """Return those that are not to be filled, and can be planned without being run."""
    return [
        (subject, name)
        for subject, name in all_queries()
        if name not in UTILITY and not SLOT.search(queries.load(subject)[name])
    ]


def test_text_before_the_first_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "stray.sql").write_text("SELECT 1\n-- name: a\nSELECT 2\n")
    (tmp_path / "queries" / "twice.sql").write_text("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")
    (tmp_path / "queries" / "parts.sql").write_text("-- part: a\n1\n-- part: a\n2\n")
    monkeypatch.setattr(queries, "files", lambda _: tmp_path)

    for subject in ("stray", "twice", "parts"):
        with pytest.raises(ValueError, match=subject):
            queries.load(subject)


def test_parts_are_no_queries_and_fill_their_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "template.sql").write_text(
        "-- part: one.column\n1 AS {name}\n\n-- name: one\n-- Why.\nSELECT {column}\n"
    )
    monkeypatch.setattr(queries, "files", lambda _: tmp_path)

    query, part = queries.load("template")["one"], queries.load_parts("template")["one.column"]

    assert list(queries.load("template")) == ["one"]
    assert list(queries.load_parts("template")) == ["one.column"]
    assert queries.fill(query, column=part, name=b"x") == b"-- Why.\nSELECT 1 AS x"


@pytest.mark.parametrize(("subject", "name"), all_queries())
def test_each_query_is_bound_exactly_once(subject: str, name: str) -> None:
    module = (FOLDER / f"{subject}.py").read_text()

    assert module.count(f'_QUERIES["{name}"]') == 1


@pytest.mark.parametrize(("subject", "name"), whole_queries())
async def test_the_engine_can_plan_each_query(migrated_pool: Pool, subject: str, name: str) -> None:
    """EXPLAIN with nulls: names, columns and casts are right."""
    text = queries.load(subject)[name]
    parameters = {match[1].decode(): None for match in PARAMETER.finditer(text)}
    async with (
        migrated_pool.connection() as connection,
        connection.transaction(force_rollback=True),
    ):
        await connection.execute(b"EXPLAIN " + text, parameters)


async def read_all(connection: Connection, reading: Reading, family: Family) -> None:
    """Ask for every aggregate that a tier can tell, all at once and each by itself."""
    if family is Family.COUNTERS:
        await history.rates(connection, reading)
        return
    names = {
        Family.METRICS: history.FOLDED_AGGREGATES,
        Family.DISTRIBUTIONS: history.PERCENTILE_AGGREGATES,
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
    parts = Remembering(queries.load_parts("history"))
    monkeypatch.setattr(history, "_PARTS", parts)
    history.compose.cache_clear()
    calendar = Grid([DAY_S, 2 * DAY_S], DAY_S, 3600, is_calendar=True)
    async with pool.connection() as connection:
        for tier in (await history.about(connection, [], None, [], 1)).tiers:
            own = tier.width_s or 15
            for grid in (Grid([0, own], own, -own), Grid([0, 7 * DAY_S], 7 * DAY_S, 0), calendar):
                for family in (family for family in Family if tier.carries(family)):
                    for groups in (None, [0, 1]):
                        await read_all(connection, Reading(tier, grid, [1, 2], groups), family)

    assert parts.taken == set(parts)
