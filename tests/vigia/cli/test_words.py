"""Commands report unusable arguments before they look for a database."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vigia.cli.main import main
from vigia.cli.terminal import EXIT_FAILURE, EXIT_USAGE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGIA_DATA_DIR", str(tmp_path))
    return tmp_path


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("value", ["warning", "{a: 1}", "", "\udcff"])
@pytest.mark.usefixtures("folder")
def test_a_setting_that_is_no_json_is_named_and_how_to_quote_it(value: str) -> None:
    answer = invoke("config", "set", "intervals.collect_s", value)

    assert answer.exit_code == EXIT_FAILURE
    [line] = answer.output.splitlines()
    assert line.startswith("vigia: intervals.collect_s: ")
    assert """is not JSON; write a number as 5 and, with both quotes, a text as '"text"',""" in line


@pytest.mark.parametrize("statement", ["", " \n"])
def test_an_empty_statement_is_refused_with_what_to_write(statement: str, folder: Path) -> None:
    answer = invoke("sql", statement)

    assert answer.exit_code == EXIT_USAGE
    assert "the statement is empty; write one in quotes" in answer.output
    assert list(folder.iterdir()) == []
