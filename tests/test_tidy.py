"""The house's rules, held by a test: who imports whom, how large things are, what is never done."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("vigia", "api", "collectors", "db", "retention", "alerts", "health")
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
MAIN_LINES_MAX = 120

NOUNS = {"vigia", "vigia.model", "vigia.text"}
MAY_IMPORT = {
    "vigia.text": set(),
    "vigia.model": NOUNS,
    "vigia.schedule": set(),
    "vigia.installation": NOUNS,
    "vigia.log": {"vigia.text"},
    "vigia.settings": NOUNS,
    "vigia.addresses": NOUNS,
    "vigia.resolver": {*NOUNS, "vigia.addresses"},
    "vigia.egress": {*NOUNS, "vigia.settings", "vigia.addresses", "vigia.resolver"},
    "db": {*NOUNS, "vigia.settings", "db"},
    "collectors": {*NOUNS, "vigia.settings", "vigia.schedule", "vigia.egress", "collectors"},
    "retention": {*NOUNS, "vigia.settings", "vigia.schedule", "db", "retention"},
    "alerts": {*NOUNS, "vigia.settings", "vigia.schedule", "db", "alerts"},
    "health": {*NOUNS, "vigia.settings", "vigia.schedule", "db", "health"},
    "api": {*NOUNS, "vigia.settings", "vigia.installation", "db", "api"},
}
"""Rooms that are not named here are the composition root and its helpers; they may import all."""

BROAD_EXCEPT = {
    "vigia/schedule.py",
    "collectors/collector.py",
    "collectors/thread.py",
    "vigia/emitter.py",
    "alerts/delivery.py",
    "alerts/questions.py",
}
MAY_PRINT = {"vigia/terminal.py", "vigia/log.py", "db/schema.py"}
"""The first two clean what they print; the last writes the schema that our own files make."""
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b",
    re.IGNORECASE | re.DOTALL,
)


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def our_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


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


def allowed_of(module: str) -> set[str] | None:
    return MAY_IMPORT.get(module, MAY_IMPORT.get(module.split(".", maxsplit=1)[0]))


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_rooms_import_only_what_the_table_allows(path: Path) -> None:
    allowed = allowed_of(module_of(path))
    ours = {name for name in imports_of(ast.parse(path.read_text())) if name.split(".")[0] in ROOMS}

    if allowed is not None:
        forbidden = {
            name
            for name in ours
            if not any(name == a or (a != "vigia" and name.startswith(f"{a}.")) for a in allowed)
            and not (name.startswith("vigia.__") and "vigia" in allowed)
        }
        assert forbidden == set()


@pytest.mark.parametrize("path", [*sources(), *our_tests()], ids=name_of)
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


def test_the_composition_root_stays_readable() -> None:
    assert len((ROOT / "vigia" / "main.py").read_text().splitlines()) <= MAIN_LINES_MAX
