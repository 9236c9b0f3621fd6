"""The common parts of all commands."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from db.queries import Pool
from model.errors import InvalidError
from tests.vigia.cli import tty
from tests.vigia.cli.sql.test_command import environment
from vigia.cli import terminal
from vigia.cli.groups import history as cli_history
from vigia.cli.main import main

__all__ = ["environment"]

HOSTILE = "\x9b31m\u202e\u2028\x1b]0;x\x07"


async def test_times_are_told_in_utc_whatever_the_zone_of_the_server(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIA_DATABASE_URL", database_url)
    async with pool.connection() as connection:
        database = connection.info.dbname
        await connection.execute(f"ALTER DATABASE {database} SET timezone TO 'Asia/Tokyo'".encode())
        try:
            async with terminal.database() as own:
                cursor = await own.execute("SHOW timezone")
                assert await cursor.fetchone() == ("UTC",)
        finally:
            await connection.execute(f"ALTER DATABASE {database} RESET timezone".encode())


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("form", ["--csv", "--json", None])
async def test_nothing_that_the_database_says_acts_on_a_terminal(
    form: str | None, environment: tty.Environment
) -> None:
    text = "E'a\\u009b31m\\u202e\\x1b]0;b\\x07'"
    for statement in (f"SELECT {text} AS x", f"SELECT {text}::integer"):
        async with tty.terminal(environment, "sql", *([form] if form else []), statement) as person:
            seen = await person.all()

        assert "31m" in seen
        assert not set(seen) & set("\x9b\u202e\x1b\x07")


def test_untrusted_text_is_printed_without_effect_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    series = {"metric": "m", "component": "c", "labels": {"a": HOSTILE}, "values": {"avg": [1.0]}}
    cli_history._print({"time": [0], "series": [series]})
    terminal.echo(HOSTILE)
    terminal.print_table(["a"], [[HOSTILE]])
    terminal.print_json({"a": HOSTILE})

    seen = capsys.readouterr().out
    assert not set(seen) & set(HOSTILE) - set("31m]0;x")
    assert json.loads(seen.splitlines()[-1]) == {"a": HOSTILE}


def test_a_key_comes_from_a_file_and_not_from_two_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("a-key\n")
    monkeypatch.setenv("VIGIA_KEY_FILE", str(file))
    url = ["--url", "http://127.0.0.1:1"]

    only_file = CliRunner().invoke(main, ["alerts", "active", *url])
    both = CliRunner().invoke(main, ["alerts", "active", *url, "--key", "x"])

    assert "no service answers" in only_file.output
    assert (both.exit_code, "exclude each other" in both.output) == (2, True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/proc/stat"), "/proc/stat: No such"),
        (FileNotFoundError(2, "No such file or directory", "/proc/stat"), "mount it"),
        (InvalidError("x is wrong"), "vigia: x is wrong"),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line_however_deep_in_a_group(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def command() -> None:
        raise ExceptionGroup("a", [ExceptionGroup("b", [error])])

    with pytest.raises(SystemExit) as ended:
        terminal.run(command)

    [line] = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert words in line
