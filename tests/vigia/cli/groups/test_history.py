"""`vigia history`: its options, and usage errors."""

import pytest
from click.testing import CliRunner

from vigia.cli.groups.history import Wanted, history_command
from vigia.cli.main import main


def wanted(*arguments: str) -> Wanted:
    """Parse a command line without running it."""
    context = history_command.make_context("history", ["load", *arguments])
    # The key of a file becomes the key before the command runs.
    context.params.pop("key_file")
    return Wanted(**context.params)


def test_the_query_is_the_one_of_the_api() -> None:
    found = wanted(
        "cpu", "--component", "app", "--label", "host=a=b", "--label", "rack!=1", "--label",
        "zone=~eu.*", "--start", "-2d", "--agg", "avg,max", "--agg", "p99", "--group-by", "host",
    )  # fmt: skip

    assert found.query == [
        ("start", "-2d"), ("end", "now"), ("step", "auto"), ("tz", "UTC"), ("component", "app"),
        ("metric", "load"), ("metric", "cpu"), ("agg", "avg,max"), ("agg", "p99"),
        ("group_by", "host"), ("label.host", "a=b"), ("label.rack!", "1"), ("label.zone", "~eu.*"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        ([], "table"),
        (["--json"], "json"),
        (["--format", "csv"], "csv"),
        (["--output", "a.csv"], "csv"),
        (["--output", "a.b.arrow"], "arrow"),
        (["--output", "a.jsonl"], "ndjson"),
        (["--output", "a.json"], "json"),
        (["--output", "a.txt", "--format", "ndjson"], "ndjson"),
    ],
)
def test_the_format_is_said_or_that_of_the_file(arguments: list[str], form: str) -> None:
    assert wanted(*arguments).format == form


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["history"], "METRIC"),
        (["history", "a", "--format", "xml"], "xml"),
        (
            ["history", "a", "--output", "a.txt"],
            "the ending of a.txt names no format; set --format",
        ),
        (
            ["history", "a", "--output", "a.csv", "--format", "table"],
            "a table is only for the terminal",
        ),
        (["history", "a", "--label", "host", "--key", "x"], "NAME=VALUE"),
        (["history", "a", "--url", "http://127.0.0.1:1"], "--url needs --key"),
        (["import"], "FILE"),
        (["import", "/nowhere/a.csv"], "does not exist"),
        (["import", __file__], "names no format; set --format"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str], word: str) -> None:
    found = CliRunner().invoke(main, arguments)

    assert found.exit_code == 2
    assert word in found.output
    assert "Traceback" not in found.output
