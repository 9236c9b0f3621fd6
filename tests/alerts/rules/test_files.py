"""Files of rules: a written file is read back unchanged, and all errors are reported at once."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.evaluation.evaluator import built_in_rules
from alerts.rules.files import dump, parse
from alerts.rules.model import Rule
from model.errors import InvalidError
from model.severity import Level
from model.toml import document
from tests.alerts.rules.some_rules import LINES, sets_of_rules


@given(sets_of_rules)
def test_a_written_file_is_read_back_unchanged(rules: list[Rule]) -> None:
    assert parse(dump(rules)) == rules
    assert dump(parse(dump(rules))) == dump(rules)


@given(st.text(LINES, max_size=40))
def test_any_text_survives(text: str) -> None:
    rule = Rule(name="a", metric="m", runbook=text)

    assert parse(dump([rule])) == [rule]


def test_only_what_is_not_usual_is_written() -> None:
    rule = Rule(
        name="load", metric="load", labels={"mount": "/", "a b": 'c"d'}, for_="5m",
        levels={Level.WARNING: 10.0, Level.CRITICAL: 20.5}, runbook="one\ntwo\\n",
    )  # fmt: skip

    assert dump([rule]) == (
        '[[rule]]\nname = "load"\nmetric = "load"\nlabels = { mount = "/", "a b" = "c\\"d" }\n'
        'levels = { warning = 10.0, critical = 20.5 }\nfor = "5m"\n'
        'runbook = """\none\ntwo\\\\n"""\n'
    )
    assert document(Rule(name="a", metric="m")) == {"name": "a", "metric": "m"}


def test_the_built_in_rules_are_a_file_of_rules() -> None:
    assert parse(dump(built_in_rules())) == built_in_rules()


def test_no_rules_are_a_file_too_but_an_empty_file_is_none() -> None:
    assert parse(dump([])) == []
    with pytest.raises(InvalidError, match="name"):
        parse("")


def test_every_fault_is_told_with_the_rule_it_is_in() -> None:
    with pytest.raises(InvalidError) as reported:
        parse(
            '[[rule]]\nname = "a"\n'
            '[[rule]]\nname = "b"\nmetric = "m"\nwindow = "8d"\n'
            '[[rule]]\nmetric = "m"\n'
            '[[rule]]\nname = "c"\nmetric = "m"\nlimit = 5\n'
            '[[rule]]\nname = "d"\nmetric = "m"\n[[rule]]\nname = "d"\nmetric = "m"\n'
        )

    lines = str(reported.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == ["a", "b", "rule 3", "c", "d"]
    for line, word in zip(
        lines, ("metric", "window must", "name", "limit", "2 rules"), strict=True
    ):
        assert word in line


def test_a_composite_of_composites_is_told() -> None:
    one = '[[rule]]\nname = "{}"\nkind = "composite"\nall_of = ["a"]\nnone_of = ["{}"]\n'

    parse(one.format("b", "c") + one.format("d", "e"))
    with pytest.raises(
        InvalidError, match=r"\nd: it references b, but a composite may not contain a composite$"
    ):
        parse(one.format("b", "c") + one.format("d", "b"))


@pytest.mark.parametrize(
    "text",
    ["x = ", "rule = 5", "rule = [5]", 'other = 1\n[[rule]]\nname = "a"\nmetric = "m"', "[rule]"],
)
def test_an_invalid_file_of_rules_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse(text)


def test_one_rule_needs_no_table() -> None:
    [rule] = parse('name = "a"\nmetric = "m"\n[levels]\nwarning = 1\n')

    assert rule.levels == {Level.WARNING: 1}
    assert tomllib.loads(dump([rule]))["rule"][0]["levels"] == {"warning": 1}
