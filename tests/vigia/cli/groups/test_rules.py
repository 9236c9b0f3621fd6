"""`vigia rules …`: previews on a database, and import and export of files."""

import asyncio
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alerts.evaluation.evaluator import evaluate
from model.series import Sample, Series
from samples.insert import insert
from samples.series import SeriesNumbers
from vigia.cli import terminal
from vigia.cli.groups import rules as cli_rules
from vigia.cli.main import main

pytestmark = pytest.mark.db  # It starts engines of its own.

RULE = '{"name": "load", "metric": "load", "levels": {"warning": 10}}'


@pytest.fixture
def own_database(tmp_path: Path, migrated_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VIGIA_")]:
        monkeypatch.delenv(name)
    shutil.copytree(migrated_folder / "postgres", tmp_path / "data" / "postgres")
    monkeypatch.setenv("VIGIA_DATA_DIR", str(tmp_path / "data"))


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["rules", *words])


@pytest.mark.usefixtures("own_database")
def test_a_rule_is_tried_on_a_database_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "rule.toml"
    file.write_text('name = "load"\nmetric = "load"\nfor = "5m"\n[levels]\nwarning = 10\n')

    as_json = run("preview", RULE, "--start", "-1h", "--json")
    as_table = run("preview", str(file))

    assert as_json.exit_code == 0, as_json.output
    found = json.loads(as_json.stdout.splitlines()[-1])
    assert (found["alerts"], found["messages"], found["present"]) == ([], 0, None)
    assert as_table.exit_code == 0, as_table.output
    assert "the rule: 0 alerts, firing for 0 min, 0 messages" in as_table.stdout


@pytest.mark.usefixtures("own_database")
async def test_a_preview_that_takes_long_shows_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []
    for patience_s in (3600, 0):
        monkeypatch.setattr(cli_rules, "PATIENCE_S", patience_s)
        result = await asyncio.to_thread(run, "preview", RULE, "--start", "-1h", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["alerts"] == []
        shown.append("100 %" in result.stderr)

    assert shown == [False, True]


@pytest.mark.usefixtures("own_database")
def test_an_import_warns_of_metrics_that_nothing_sends(tmp_path: Path) -> None:
    asyncio.run(_measure_late())
    file = tmp_path / "rules.toml"
    file.write_text(
        "".join(
            f'[[rule]]\nname = "{name}"\nmetric = "{name}"\nlevels = {{ warning = 1 }}\n'
            for name in ("load", "loda")
        )
    )

    result = run("import", str(file), "--json")

    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["added"]) == 2
    assert result.stderr.endswith(
        "warning: rule loda: there is no metric 'loda'; did you mean 'load'?\n"
    )
    assert result.stderr.count("warning: ") == 1


@pytest.mark.parametrize("command", ["preview", "import", "validate"])
@pytest.mark.usefixtures("own_database")
def test_a_file_in_another_encoding_is_refused_in_one_line(tmp_path: Path, command: str) -> None:
    file = tmp_path / "rule.toml"
    file.write_bytes('name = "größe"'.encode("latin-1"))

    result = run(command, str(file))

    assert result.exit_code == 1
    assert result.stderr.endswith("must be UTF-8; it has an invalid byte at 10\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("own_database")
def test_a_preview_says_what_was_not_seen_at_its_minute() -> None:
    asyncio.run(_measure_late())

    result = run(
        "preview", RULE, "--start", "2026-01-01T00:00:00Z", "--end", "2026-01-01T00:58:00Z"
    )

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    at = lines.index("some minutes were never evaluated, so the preview leaves them out:")
    assert lines[at + 2].split() == ["2026-01-01", "00:21", "2026-01-01", "00:55"]
    assert "late samples, which arrived after their minute was evaluated" in result.stdout
    row = result.stdout.splitlines()[-1]
    assert row.split()[:6] == ["load", "a", "disk=b", "2026-01-01", "00:10", "00:12"]
    assert row.split()[-1] == "2"


async def _measure_late() -> None:
    series, start = (
        Series(metric="load", component="a", labels=(("disk", "b"),)),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    samples = [Sample(series, start + timedelta(minutes=m), 20.0) for m in (10, 12)]
    async with terminal.database() as connection:
        for minute in (20, 55, 60):
            await evaluate(connection, start + timedelta(minutes=minute), {}, on_transitions=[])
        await insert(connection, SeriesNumbers(), samples)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("{", "the rule is not valid"),
        ('{"name": "a"}', "metric"),
        ('{"name": "a", "metric": "m", "window": "8d"}', "window must be"),
        ("/nowhere/rule.json", "No such file"),
    ],
)
def test_an_invalid_rule_is_reported_in_one_line(given: str, word: str) -> None:
    result = run("preview", given)

    assert result.exit_code == 1
    assert word in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("own_database")
def test_rules_go_to_a_file_and_come_back_changed(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "a"\nmetric = "m"\n[[rule]]\nname = "b"\nmetric = "m"\n')
    path = str(file)

    assert run("import", path, "--dry-run").stdout == "+ a\n+ b\n"
    assert run("import", path).stdout == "+ a\n+ b\n"
    assert run("import", path).stdout == "nothing to change\n"
    assert run("export", path).exit_code == 0
    assert file.read_text().count("[[rule]]") == 2
    file.write_text('[[rule]]\nname = "b"\nmetric = "m"\nfor = "5m"\n')
    said = json.loads(run("import", path, "--dry-run", "--prune", "--json").stdout)
    assert (said["removed"], said["changed"][0]["fields"]) == (
        ["a"], {"for": {"old": "0s", "new": "5m"}},
    )  # fmt: skip
    assert run("import", path, "--prune").stdout == '~ b\n    for: "0s" -> "5m"\n- a\n'
    [exported] = json.loads(run("export", "--json").stdout)
    assert (exported["name"], exported["for"]) == ("b", "5m")


@pytest.mark.usefixtures("own_database")
def test_a_dry_run_refuses_what_the_import_would_refuse(tmp_path: Path) -> None:
    both = '[[rule]]\nname = "both"\nkind = "composite"\nall_of = ["a"]\n'
    one = '[[rule]]\nname = "a"\nmetric = "m"\n'
    alone, whole = tmp_path / "alone", tmp_path / "whole"
    alone.write_text(both)
    whole.write_text(one + both)

    lonely = run("import", str(alone), "--dry-run")
    assert run("import", str(whole)).stdout == "+ a\n+ both\n"
    torn = run("import", str(alone), "--prune", "--dry-run")

    for refused in (lonely, torn):
        assert (refused.exit_code, "both references a" in refused.stderr) == (1, True)


def test_a_file_is_checked_without_a_database(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname = "a"\n[[rule]]\nname = "b"\nmetric = "m"\nfor = "soon"\n')

    wrong, right = run("validate", str(file)), run("validate", "alerts/rules.toml")

    assert (wrong.exit_code, right.exit_code, right.stdout) == (1, 0, "18 rules, all valid\n")
    assert "\na: " in wrong.stderr
    assert "\nb: " in wrong.stderr
    assert run("import", str(file)).stderr == wrong.stderr
    assert run("validate", "/nowhere").exit_code == 2
