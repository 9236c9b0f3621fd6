"""`vigia rules preview`: a rule from the command line or from a file, tried on a database."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from vigia.cli import main

RULE = '{"name": "load", "metric": "load", "levels": {"warning": 10}}'


def test_a_rule_is_tried_on_a_database_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("VIGIA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIGIA_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "rule.toml"
    file.write_text('name = "load"\nmetric = "load"\nfor = "5m"\n[levels]\nwarning = 10\n')

    as_json = CliRunner().invoke(main, ["rules", "preview", RULE, "--start", "-1h", "--json"])
    as_table = CliRunner().invoke(main, ["rules", "preview", str(file)])

    assert as_json.exit_code == 0, as_json.output
    found = json.loads(as_json.stdout.splitlines()[-1])
    assert (found["alerts"], found["messages"], found["present"]) == ([], 0, None)
    assert as_table.exit_code == 0, as_table.output
    assert "the rule: 0 alerts, firing for 0 min, 0 messages" in as_table.stdout


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("{", "this is no rule"),
        ('{"name": "a"}', "metric"),
        ('{"name": "a", "metric": "m", "window": "2d"}', "window must be"),
        ("/nowhere/rule.json", "No such file"),
    ],
)
def test_what_is_no_rule_is_said_in_one_line(given: str, word: str) -> None:
    result = CliRunner().invoke(main, ["rules", "preview", given])

    assert result.exit_code == 1
    assert word in result.stderr
    assert len(result.stderr.splitlines()) == 1
