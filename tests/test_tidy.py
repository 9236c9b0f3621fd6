"""The house's rules, held by a test: who imports whom, how large things are, what is never done."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.composed import SUFFIX, files

ROOT = Path(__file__).parent.parent
ORDER = (
    {"model"},
    {"runtime"},
    {"db", "collectors"},
    {"events", "samples"},
    {"audit"},
    {"config", "accounts", "history", "health", "hosts"},
    {"alerts"},
    {"retention", "notifications"},
    {"live"},
    {"api"},
    {"vigia"},
)
"""Left never imports right, and those between braces not each other."""
ROOMS = tuple(sorted(set().union(*ORDER)))
OWNERS = {
    "accounts": {"api_keys", "sessions", "sign_in_links"},
    "alerts": {
        "alert_rules", "alert_silences", "alert_states", "built_in_rules", "evaluation_clock",
        "evaluation_gaps", "maintenance_windows", "rule_inputs", "rule_series", "sql_rule_clock",
        "system_alert_events", "system_alerts",
    },
    "audit": {"security_clock", "security_events"},
    "config": {"monitoring_config_history"},
    "db": {"schema_migrations"},
    "events": {"event_counter"},
    "health": {"component_status", "watched_components"},
    "hosts": {"host_clock", "host_state"},
    "notifications": {
        "action_runs", "calendar_feeds", "channels", "contact_addresses", "contacts", "deliveries",
        "delivery_addresses", "escalations", "event_cursors", "message_links",
        "notification_group_members",
        "notification_groups", "notification_pause", "notifications", "on_call_shifts",
        "policies", "route_channels", "routes", "schedule_overrides", "schedules",
    },
    "retention": {"maintenance_runs"},
    "samples": {"late_ranges", "late_samples", "replica_tokens"},
}  # fmt: skip
"""Only a table's own package names it. `db` makes and `retention` sweeps them all."""
COMMON_GROUND = {"events", "monitoring_config", "series", "series_state", "tiers"}
"""Tables that everybody may read, beside the hypertables and the documented views."""
GUESTS = {
    # The incarnation of a database is told by a row of each kind that only it can have.
    ("api_keys", "samples/database/incarnation.sql"),
    ("schema_migrations", "samples/database/incarnation.sql"),
    # A preview names the samples that came too late for the live evaluation.
    ("late_samples", "alerts/preview/coverage.sql"),
    # In the one statement of the evaluation, which excludes removed targets.
    ("watched_components", "alerts/evaluation/statement.sql"),
    # The same for removed hosts.
    ("host_state", "alerts/evaluation/statement.sql"),
}
"""Who names another package's table, and why."""
GUEST_ROOMS = {"notifications": {"alert_rules", "system_alert_events", "system_alerts"}}
"""They write in the transaction of the alert that they speak of; `alerts` never imports them."""
SQL_COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
MAIN_LINES_MAX = 120
FOLDER_MODULES_MAX = 12

BROAD_EXCEPT = {
    "runtime/schedule.py",
    "collectors/collector.py",
    "collectors/host/thread.py",
    "live/subscribers.py",
    "alerts/sql_rules/collector.py",
    "api/server/connections.py",
    "notifications/outbox/sender.py",
    "samples/writer.py",
}
MAY_PRINT = {"vigia/cli/terminal.py", "runtime/log.py", "db/schema.py"}
"""The first two clean what they print; the last writes the schema that our own files make."""
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b",
    re.IGNORECASE | re.DOTALL,
)


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def our_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def benchmarks() -> list[Path]:
    return sorted((ROOT / "bench").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rank_of(module: str) -> int:
    room = module.split(".", maxsplit=1)[0]
    return next(rank for rank, rooms in enumerate(ORDER) if room in rooms)


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_rooms_import_only_what_stands_left_of_them(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    ours = {name for name in imports_of(ast.parse(path.read_text())) if name.split(".")[0] in ROOMS}

    assert {
        name
        for name in ours
        if name.split(".")[0] != own
        and (rank_of(name) >= rank_of(own) or (name.startswith("collectors") and own != "vigia"))
    } == set()


@pytest.mark.parametrize("path", [*sources(), *our_tests(), *benchmarks()], ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert [
        f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES_MAX
    ] == []


def test_folders_stay_small() -> None:
    modules = [path for path in [*sources(), *benchmarks()] if path.name != "__init__.py"]
    sizes = Counter(path.parent for path in modules)

    assert [name_of(folder) for folder, size in sizes.items() if size > FOLDER_MODULES_MAX] == []


def statements() -> list[Path]:
    """Every SQL file that people write: no frozen migration, nothing that is generated."""
    found = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.sql"))
    written = [path for path in found if "migrations" not in path.parts]
    return [p for p in written if p.name != "schema.sql" and ".composed." not in p.name]


@pytest.mark.parametrize("path", statements(), ids=name_of)
def test_sql_is_no_wider_than_a_screen(path: Path) -> None:
    lines = path.read_text().splitlines()
    wide = [number for number, line in enumerate(lines, 1) if len(line) > SQL_COLUMNS_MAX]

    # A text in quotes cannot be broken.
    assert [n for n in wide if not lines[n - 1].lstrip().startswith(("'", "('"))] == []


def test_a_table_is_named_by_its_owner_alone() -> None:
    tables = re.findall(r"^TABLE (\w+)", (ROOT / "db" / "schema.sql").read_text(), re.MULTILINE)
    named = {
        (table, path.relative_to(ROOT).parts[0], name_of(path))
        for path in statements()
        for table in tables
        if re.search(rf"\b{table}\b", re.sub(r"--.*", "", path.read_text()))
    }

    assert set(tables) == COMMON_GROUND | set().union(*OWNERS.values())
    assert [
        (table, file)
        for table, room, file in sorted(named)
        if table not in COMMON_GROUND | OWNERS.get(room, set()) | GUEST_ROOMS.get(room, set())
        and (table, file) not in GUESTS
        and room not in {"db", "retention"}
    ] == []


@pytest.mark.parametrize("room", [*ROOMS, "bench"])
def test_a_class_is_defined_once_in_a_package(room: str) -> None:
    names = Counter(
        node.name
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )

    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_no_task_is_discarded(path: Path) -> None:
    discarded = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute | ast.Name)
        and getattr(node.value.func, "attr", getattr(node.value.func, "id", ""))
        in {"create_task", "ensure_future"}
        and getattr(getattr(node.value.func, "value", None), "id", "") in {"asyncio", "loop", ""}
    ]

    assert discarded == []


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_sql_lives_in_files(path: Path) -> None:
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    built = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) and SQL.search(ast.unparse(node))
    ]
    inline = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and id(node) not in docstrings
        and isinstance(node.value, str | bytes)
        and SQL.search(node.value if isinstance(node.value, str) else node.value.decode("latin-1"))
    ]

    assert built == []
    assert inline == []


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_exceptions_are_caught_by_name(path: Path) -> None:
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"})
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]

    assert broad == [] or name_of(path) in BROAD_EXCEPT


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_what_is_printed_is_cleaned_in_one_place(path: Path) -> None:
    tree = ast.parse(path.read_text())
    printing = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "Console"}
    ]
    raw = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.stdout.buffer.write"
    ]

    assert printing + raw == [] or name_of(path) in MAY_PRINT


def test_each_composed_statement_stands_in_its_file() -> None:
    """`make schema` writes them anew."""
    found = [path for path in ROOT.glob(f"[a-z]*/**/*{SUFFIX}") if "node_modules" not in path.parts]

    assert {name_of(path): path.read_text() for path in found} == {
        name_of(path): text for path, text in files().items()
    }


def test_the_composition_root_stays_readable() -> None:
    assert len((ROOT / "vigia" / "main.py").read_text().splitlines()) <= MAIN_LINES_MAX


def test_every_list_of_packages_names_each_of_them() -> None:
    """One that is missing is not checked, not measured, or not in the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    product = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench"}

    shipped = project["setuptools"]["packages"]["find"]["include"]
    assert shipped == [f"{name}*" for name in sorted(product)]
    assert project["coverage"]["run"]["source_pkgs"] == sorted(product)
    for listed in (
        project["ruff"]["lint"]["isort"]["known-first-party"],
        project["mypy"]["packages"],
    ):
        assert product <= set(listed)
    assert set().union(*ORDER) >= product
