"""Each command imports only its own packages, and reports a missing one."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vigia.cli.commands import Commands
from vigia.cli.main import COMMANDS, main

AGENTS_PACKAGES = {"aiohttp", "click", "msgspec", "psutil", "structlog", "uvloop"}
"""What a host has to have for `vigia agent`: neither the web's packages nor the database's."""
IMPORTED = """
import sys
import vigia.cli.main
from vigia.cli.groups.agent import agent_command
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_agent_imports_neither_the_web_nor_the_database() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    ).stdout
    imported = set(printed.split())

    assert imported >= AGENTS_PACKAGES
    assert imported.isdisjoint(
        {"litestar", "uvicorn", "psycopg", "psycopg_pool", "pyarrow", "numpy", "re2"}
    )


@pytest.mark.parametrize(
    "module",
    ["actions", "hosts", "groups.alerts", "groups.config", "groups.deliveries", "on_call.routes"],
)
def test_a_command_that_asks_the_service_does_not_import_its_parts(module: str) -> None:
    """They would take most of the time in which the command starts."""
    code = f"import sys, vigia.cli.{module}; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert set(printed.split()).isdisjoint({"litestar", "uvicorn", "numpy", "pyarrow"})
    assert len(printed.split()) < 800


def test_every_command_is_where_the_table_says_under_its_name() -> None:
    runner = CliRunner()
    listed = runner.invoke(main, ["--help"]).output

    for name in COMMANDS:
        assert f"  {name} " in listed
        assert runner.invoke(main, [name, "--help"]).output.startswith(f"Usage: main {name}")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """One command whose package is there, one whose package is not, one that is broken."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole.py").write_text("import click\nhere = click.Command('here')\n")
    (tmp_path / "half.py").write_text("import nowhere.at_all\n")
    (tmp_path / "broken.py").write_text("import vigia.no_such_module\n")
    places = {"whole": "whole:here", "half": "half:there", "broken": "broken:there"}
    return Commands(places=places)


def test_a_missing_package_is_one_line_that_says_what_to_run(commands: Commands) -> None:
    answer = CliRunner().invoke(commands, ["half", "one", "--two"])

    assert answer.exit_code == 1
    [line] = answer.output.splitlines()
    assert "the package nowhere" in line
    assert "pip install vigia" in line
    assert CliRunner().invoke(commands, ["whole"]).exit_code == 0


def test_a_missing_module_of_our_own_is_not_blamed_on_the_environment(commands: Commands) -> None:
    answer = CliRunner().invoke(commands, ["broken"])

    assert isinstance(answer.exception, ModuleNotFoundError)
    assert CliRunner().invoke(commands, ["unknown"]).exit_code == 2
