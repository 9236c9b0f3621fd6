"""No text that is stored or printed holds a character that acts by itself."""

import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dev import Trial
from db import config, migrate, rules
from db.config import Config
from db.holds import Matcher
from db.queries import Pool
from db.rules import Rule
from vigia.model import Level, Lines, ScrapeTarget, Target, Text, utc_now
from vigia.text import clean, clean_lines, is_safe

MIGRATION = Path(migrate.__file__).parent / "migrations" / "0023_stored_text.sql"
ACTS = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]

acting = st.sampled_from(ACTS)
around = st.text(st.sampled_from("aé漢 -🙂"), max_size=3)
hostile = st.builds(lambda before, at, after: before + at + after, around, acting, around)


@given(hostile)
def test_what_acts_is_refused_wherever_a_text_is_stored(text: str) -> None:
    kinds: list[tuple[type, Any]] = [
        (Text, text),  # type: ignore[list-item]
        (Rule, {"name": "r", "metric": "m", "levels": {"warning": 1}, "component": text}),
        (Rule, {"name": "r", "metric": "m", "levels": {"warning": 1}, "labels": {"a": text}}),
        (Matcher, {"labels": {"a": text}}),
        (Config, {"dependencies": {text: ["server"]}}),
        (Target, {"name": "t", "url": f"https://a/{text}"}),
        (ScrapeTarget, {"name": "t", "url": "https://a/", "labels": {"a": text}}),
        (Trial, {"title": text}),
    ]

    for kind, given_ in kinds:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(given_, kind)
    assert not is_safe(text)


@given(hostile)
def test_several_lines_may_hold_line_ends_and_tabs_but_nothing_else_that_acts(text: str) -> None:
    if set(text) & set("\t\r\n"):
        assert msgspec.convert(text, Lines) == text
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, Lines)


@given(st.text())
def test_what_is_printed_holds_nothing_that_acts_and_loses_no_letter(text: str) -> None:
    line, lines = clean(text), clean_lines(text)

    assert not set(line) & set(ACTS)
    assert not (set(lines) & set(ACTS)) - set("\t\n")
    letters = [char for char in text if unicodedata.category(char)[0] in "LNS"]
    assert [char for char in line if unicodedata.category(char)[0] in "LNS"] == letters


async def test_texts_stored_before_are_cleaned_so_that_rules_and_settings_can_be_read(
    pool: Pool,
) -> None:
    async with pool.connection() as connection:
        rule = Rule(
            name="r", metric="m", component="a?31m", runbook="b?", levels={Level.WARNING: 1}
        )
        await rules.insert(connection, rule, utc_now(), "test")
        await connection.execute(
            "UPDATE alert_rules SET component = E'a\\u009b31m', runbook = E'b\\u202e'"
        )
        value = '{"a\\u202e": ["server"]}'
        await connection.execute(
            "INSERT INTO monitoring_config (key, value, updated_at, updated_by)"
            " VALUES ('dependencies', %s::jsonb, now(), 'test')",
            [value],
        )

        await connection.execute(MIGRATION.read_bytes())

        [stored] = await rules.read_all(connection)
        assert (stored.component, stored.runbook) == ("a 31m", "b ")
        assert (await config.read(connection)).dependencies == {"a ": ("server",)}
