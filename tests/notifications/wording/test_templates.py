"""A template holds names that are known, and what it is filled with is never looked at again."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import InvalidError
from notifications.message import Language
from notifications.wording import templates
from notifications.wording.templates import NAMES, fill, parse, words
from tests.notifications.hostile import HOSTILE

FOLDER = Path(templates.__file__).parent
TEXT = st.text() | st.sampled_from(HOSTILE) | st.text("{}$%0.<>_title ", max_size=40)


def test_a_name_stands_for_its_value() -> None:
    template = parse("{metric} at {value} (limit {limit})")
    values = {"metric": "CPU", "value": "97.7 %", "limit": "80 %", "title": "unused"}
    assert fill(template, values) == "CPU at 97.7 % (limit 80 %)"


@given(TEXT, TEXT)
def test_what_is_put_in_is_never_interpreted(title: str, value: str) -> None:
    template = parse("{title}|{value}|{title}")
    assert fill(template, {"title": title, "value": value}) == f"{title}|{value}|{title}"


@given(TEXT)
def test_a_text_without_known_names_is_refused_or_stays_as_it_is(text: str) -> None:
    found = re.findall(r"\{([^{}]*)\}", text)
    if set(found) <= NAMES.keys():
        values = {name: f"<{name}>" for name in NAMES}
        assert len(fill(parse(text), values)) == len(text)
    else:
        with pytest.raises(InvalidError):
            parse(text)


@pytest.mark.parametrize(
    "text", ["{0}", "{}", "{0.__class__}", "{{7*7}}", "{Title}", "{title!r}", "{ title }", "${x}"]
)
def test_an_unknown_name_is_refused_when_a_template_is_loaded(text: str) -> None:
    with pytest.raises(
        InvalidError, match=r"is not a name; the names are .*time, title, until, value"
    ):
        parse(text)


def test_a_long_unknown_name_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidError) as caught:
        parse("{" + "x" * 10_000 + "}")
    assert len(str(caught.value)) < 500


def test_a_name_without_a_value_is_a_defect() -> None:
    with pytest.raises(KeyError):
        fill(parse("{title}"), {})


def test_both_languages_have_the_same_templates_with_the_same_names() -> None:
    english, *others = (
        {name: template.names for name, template in words(language).templates.items()}
        for language in Language
    )
    assert others == [english]


def test_no_text_was_left_in_the_other_language() -> None:
    english, portuguese = (words(language).templates for language in Language)
    same = {name for name in english if english[name].text == portuguese[name].text}
    assert {name for name in same if not name.startswith("month.")} == {
        "title.opened",
        "value.aggregate",
        "line.comment",
        "line.changed_item",
        "metric.server_cpu_percent",
    }


def test_every_name_is_used() -> None:
    used = {name for one in words(Language.ENGLISH).templates.values() for name in one.names}
    assert used == NAMES.keys()


@pytest.mark.parametrize("language", list(Language))
def test_texts_fit_a_line_and_hold_plain_characters(language: Language) -> None:
    file = FOLDER / f"{language}.toml"
    for table, texts in tomllib.loads(file.read_text(encoding="utf-8")).items():
        for name, text in texts.items():
            assert text == text.strip() != "", (table, name)
            assert len(text) <= 100, (table, name)
            assert text.isprintable(), (table, name)


def test_a_language_is_read_once() -> None:
    assert words(Language.ENGLISH) is words(Language.ENGLISH)
