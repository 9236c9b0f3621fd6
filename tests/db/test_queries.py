"""Every named query is bound once, and the engine accepts its names, columns and casts."""

import re
from pathlib import Path

import pytest

import db
from db import queries
from db.queries import Pool

FOLDER = Path(db.__file__).parent
SUBJECTS = sorted(path.stem for path in (FOLDER / "queries").glob("*.sql"))
UTILITY = {"create_table", "create_extension", "run_job", "maintain", "checkpoint", "vacuum"}
PARAMETER = re.compile(rb"%\((\w+)\)[sb](::[\w ]+(?:\[\])?)?")


def all_queries() -> list[tuple[str, str]]:
    return [(subject, name) for subject in SUBJECTS for name in queries.load(subject)]


def test_text_before_the_first_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "stray.sql").write_text("SELECT 1\n-- name: a\nSELECT 2\n")
    (tmp_path / "queries" / "twice.sql").write_text("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")
    monkeypatch.setattr(queries, "files", lambda _: tmp_path)

    for subject in ("stray", "twice"):
        with pytest.raises(ValueError, match=subject):
            queries.load(subject)


@pytest.mark.parametrize(("subject", "name"), all_queries())
def test_each_query_is_bound_exactly_once(subject: str, name: str) -> None:
    module = (FOLDER / f"{subject}.py").read_text()

    assert module.count(f'_QUERIES["{name}"]') == 1


@pytest.mark.parametrize(("subject", "name"), [q for q in all_queries() if q[1] not in UTILITY])
async def test_the_engine_can_plan_each_query(pool: Pool, subject: str, name: str) -> None:
    """EXPLAIN with nulls: names, columns and casts are right."""
    text = queries.load(subject)[name]
    parameters = {match[1].decode(): None for match in PARAMETER.finditer(text)}
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute(b"EXPLAIN " + text, parameters)
