"""Text is split into statements as PostgreSQL would split it."""

import pytest

from vigia.cli.sql.statements import is_blank, split


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("", [], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT 2; SEL", ["SELECT 1", " SELECT 2"], " SEL"),
        ("SELECT ';', 'it''s;'; x", ["SELECT ';', 'it''s;'"], " x"),
        (r"SELECT E'\';', 'a\'; x", [r"SELECT E'\';', 'a\'"], " x"),
        ('SELECT ";" FROM "a"";"; x', ['SELECT ";" FROM "a"";"'], " x"),
        ("SELECT 1 -- ; no\n; x", ["SELECT 1 -- ; no\n"], " x"),
        ("SELECT /* ; /* ; */ ; */ 1; x", ["SELECT /* ; /* ; */ ; */ 1"], " x"),
        ("SELECT $$;$$, $a$;$$;$a$; x", ["SELECT $$;$$, $a$;$$;$a$"], " x"),
        ("SELECT a$1$; x", ["SELECT a$1$"], " x"),
        ("SELECT 'open;\n", [], "SELECT 'open;\n"),
        ("SELECT /* open;\n", [], "SELECT /* open;\n"),
        ("SELECT $$open;\n", [], "SELECT $$open;\n"),
    ],
)
def test_semicolons_end_statements_where_they_are_not_quoted(
    text: str, statements: list[str], rest: str
) -> None:
    assert split(text) == (statements, rest)


@pytest.mark.parametrize("text", ["", " \n", "-- only a comment", "/* one */ -- other\n"])
def test_comments_alone_are_nothing_to_run(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["SELECT 1", "-- a comment\nSELECT 1", "((", "/* one */ x"])
def test_anything_else_is_run(text: str) -> None:
    assert not is_blank(text)
