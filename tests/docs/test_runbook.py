"""Every built-in rule has an entry in the runbook, whose commands and queries run."""

import re
from pathlib import Path

import msgspec
import pytest

from alerts.evaluation.evaluator import built_in_rules
from alerts.rules.model import Rule
from config.model import Config
from config.store import with_value
from db.queries import Pool

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "reference" / "runbook.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
QUESTIONS = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
SETTINGS = re.findall(r"^vigia config set (\w+)\.(\w+) '(.*)'$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("rule", built_in_rules(), ids=lambda rule: rule.name)
def test_a_built_in_rule_says_where_its_entry_is(rule: Rule) -> None:
    assert rule.runbook == f"docs/reference/runbook.md#{rule.name}"
    entry = ENTRIES[rule.name]
    assert [f"**{word}**" in entry for word in ("Means", "Look", "Do", "Tune")] == [True] * 4


def test_there_is_no_entry_without_a_rule() -> None:
    assert list(ENTRIES) == [rule.name for rule in built_in_rules()]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_what_to_look_at_can_be_asked(pool: Pool, question: str) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute("SET LOCAL ROLE vigia_reader")
        await connection.execute(question.encode())


def test_settings_are_what_they_may_be() -> None:
    assert len(SETTINGS) == 2
    for key, part, value in SETTINGS:
        with_value(Config(), key, {part: msgspec.json.decode(value)})


def test_the_thresholds_of_the_brief_are_shipped() -> None:
    limits = Config().thresholds
    given = {rule.metric: limits[rule.metric] for rule in built_in_rules() if rule.metric in limits}

    assert {name: (limit.warning, limit.critical) for name, limit in given.items()} == {
        "server_memory_percent": (70, 90),
        "server_cpu_percent": (60, 80),
        "database_latency_ms": (500, 1000),
        "external_latency_ms": (2000, 5000),
        "trading_success_percent": (50, 30),
    }
