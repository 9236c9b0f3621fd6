"""A file of channels, people, schedules, policies and routes: written, read, and what is wrong."""

import pytest

from model.errors import InvalidError
from notifications.files.document import Document, dump, parse

FILE = """\
[[channel]]
name = "hook"
type = "webhook"
settings = { a = [1, 2] }

[[contact]]
name = "ana"
tz = "Europe/Lisbon"
addresses = [{ channel = "hook" }]

[[schedule]]
name = "ops"
layers = [{ start = "2026-03-02T09:00:00", people = ["ana"] }]

[[policy]]
name = "wake"
steps = [{ targets = [{ kind = "schedule", name = "ops" }], delay = "10m" }]
repeat = 2

[[route]]
name = "all"
matcher = { labels = { "a b" = "x" }, min_level = "critical" }
continue = true
policy = "wake"
quiet_hours = [{ start = "22:00", end = "07:00" }]
"""


def test_what_is_read_is_written_as_it_was() -> None:
    assert dump(parse(FILE)) == FILE
    assert parse(dump(parse(FILE))) == parse(FILE)


def test_an_empty_file_holds_nothing() -> None:
    assert dump(parse("")) == ""
    assert dump(Document()) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "this is no TOML"),
        ("[[rule]]\nname = 'a'", "a file has the tables [[channel]]"),
        ("[channel]\nname = 'a'", "write [[channel]]"),
        ("[[route]]\nname = 'a'", "route a: channels or policy must say"),
        ("[[contact]]\nname = 'a'\nage = 5", "contact a: "),
        ("[[contact]]\nname = 'a'\n[[contact]]\nname = 'a'", "contact a: 2 have this name"),
    ],
)
def test_a_wrong_file_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse(text)
    assert words in str(refused.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InvalidError) as refused:
        parse("[[contact]]\nname = 'a'\ntz = 'Mars'\n[[policy]]\nname = 'p'\nsteps = []\n")
    assert "contact a: " in str(refused.value)
    assert "policy p: " in str(refused.value)
