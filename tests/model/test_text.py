"""No stored or printed text contains a control character."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.suppression.suppress import Matcher
from api.admin.status import TestAlert
from config import store as config
from config.model import Config
from db import migrate
from db.queries import Pool
from model.limits import NAME_CHARS_MAX, TEXT_CHARS_MAX
from model.severity import Level
from model.targets import ScrapeTarget, Target
from model.text import (
    METRIC_NAME,
    TARGET_NAME,
    Lines,
    MetricName,
    NonEmptyText,
    TargetName,
    Text,
    clean,
    clean_lines,
    is_safe,
)
from model.times import utc_now

MIGRATION = Path(migrate.__file__).parent / "migrations" / "0023_stored_text.sql"
ACTS = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]

acting = st.sampled_from(ACTS)
around = st.text(st.sampled_from("aé漢 -🙂"), max_size=3)
hostile = st.builds(lambda before, at, after: before + at + after, around, acting, around)


@given(hostile)
def test_unsafe_characters_are_refused_wherever_a_text_is_stored(text: str) -> None:
    kinds: list[tuple[type, Any]] = [
        (Text, text),  # type: ignore[list-item]
        (Rule, {"name": "r", "metric": "m", "levels": {"warning": 1}, "component": text}),
        (Rule, {"name": "r", "metric": "m", "levels": {"warning": 1}, "labels": {"a": text}}),
        (Matcher, {"labels": {"a": text}}),
        (Config, {"dependencies": {text: ["server"]}}),
        (Target, {"name": "t", "url": f"https://a/{text}"}),
        (ScrapeTarget, {"name": "t", "url": "https://a/", "labels": {"a": text}}),
        (TestAlert, {"title": text}),
    ]

    for kind, given_ in kinds:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(given_, kind)
    assert not is_safe(text)


@given(hostile)
def test_several_lines_may_contain_line_ends_and_tabs_but_no_other_unsafe_character(
    text: str,
) -> None:
    if set(text) & set("\t\r\n"):
        assert msgspec.convert(text, Lines) == text
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, Lines)


@pytest.mark.parametrize(
    ("kind", "pattern", "longest"),
    [(MetricName, METRIC_NAME, NAME_CHARS_MAX), (TargetName, TARGET_NAME, 63)],
)
@given(data=st.data())
def test_a_name_is_the_same_where_it_is_written_and_where_it_is_sent(
    kind: Any, pattern: re.Pattern[str], longest: int, data: st.DataObject
) -> None:
    names = st.from_regex(pattern, fullmatch=True) | st.text("aZ_-.:0 é\n", max_size=longest + 2)
    text = data.draw(names | st.integers(longest - 1, longest + 1).map(lambda count: "a" * count))

    if pattern.fullmatch(text):
        assert msgspec.convert(text, kind) == text
        assert len(text) <= longest
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, kind)


def test_a_text_that_must_say_something_is_not_empty() -> None:
    assert msgspec.convert("a", NonEmptyText) == "a"
    for wrong in ("", "\u202e", "a" * (TEXT_CHARS_MAX + 1)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, NonEmptyText)


@pytest.mark.parametrize("character", r"\;,&=+!$'()*<>^`{|}" + '"')
def test_characters_that_no_host_has_are_refused_in_an_address(character: str) -> None:
    for kind in (Target, ScrapeTarget):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"name": "t", "url": f"https://example.com{character}s3cr3t"}, kind)
        msgspec.convert({"name": "t", "url": f"https://[::1]:80/a{character}b?c"}, kind)


@given(st.text())
def test_cleaned_text_has_no_unsafe_character_and_loses_no_letter(text: str) -> None:
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
