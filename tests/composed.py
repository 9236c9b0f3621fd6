"""Writes down each statement that is put together from parts, as it is sent: `make schema`.

Beside a module whose constants are made with `queries.fill`, `<name>.composed.sql` has them all,
with psql's variables where the service binds parameters. tests/test_tidy.py keeps it true.
"""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from db import queries
from db.queries import Query
from history import reader as history
from history.reader import Family

ROOT = Path(__file__).parent.parent
SUFFIX = ".composed.sql"
STATEMENT = re.compile(rb"(--[^\n]*\n)*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")
PARAMETER = re.compile(rb"%\((\w+)\)[sb]")
NAMED = (b"-- name: ", b"-- part: ")
HISTORY = "history.reader"

HEADER = """\
-- The statements of {module}.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\\i {file}` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :{example}, the service binds as a parameter.
"""

MINUTE = "date_trunc('minute', now())"
SERIES = "ARRAY(SELECT id FROM series ORDER BY id LIMIT 3)"
OF_SERIES = "ARRAY(SELECT {} FROM series ORDER BY id LIMIT 3)"
VALUES = {
    "actor": "'ana'",
    "alert_id": "(SELECT max(id) FROM system_alerts)",
    "dependencies": """'{"shop": ["database"]}'""",
    "at": MINUTE,
    "at_most": "NULL",
    "before": f"({MINUTE} - interval '65 minutes')",
    "categories": "ARRAY['system']",
    "category": "NULL",
    "comment": "''",
    "components": "ARRAY['server']",
    "counts": OF_SERIES.format("1"),
    "edges": f"ARRAY[{MINUTE} - interval '2 days', {MINUTE} - interval '1 day', {MINUTE}]",
    "end": MINUTE,
    "first_times": OF_SERIES.format("now()"),
    "future": "interval '10 minutes'",
    "grace_s": "600",
    "groups": OF_SERIES.format("1"),
    "interval_s": "30",
    "kinds": "ARRAY['gauge']",
    "labels": "ARRAY['{}']",
    "last_at": f"({MINUTE} - interval '1 minute')",
    "last_times": OF_SERIES.format("now()"),
    "last_values": OF_SERIES.format("7.0"),
    "log_buckets": OF_SERIES.format("18000"),
    "metric": "'server_cpu_percent'",
    "metrics": "ARRAY['server_cpu_percent']",
    "minutes": "0",
    "names": "ARRAY['server']",
    "reasons": "ARRAY['']",
    "removal_grace": "interval '30 seconds'",
    "replica": "NULL::uuid",
    "resolutions": "ARRAY[NULL]",
    "rule": "'cpu'",
    "rule_ids": "ARRAY(SELECT id FROM alert_rules)",
    "rules": "(SELECT coalesce(jsonb_agg(r), '[]') FROM alert_rules r)",
    "series_ids": SERIES,
    "series_max": "100000",
    "shard": "0",
    "shards": "1",
    "spans": "'[]'",
    "stale": "interval '1 minute'",
    "start": f"({MINUTE} - interval '1 hour')",
    "states": "'[]'",
    "step": "interval '5 minutes'",
    "step_s": "300",
    "swept_from": "NULL",
    "thresholds": "(SELECT value FROM monitoring_config WHERE key = 'thresholds')",
    "time": "now()",
    "times": OF_SERIES.format("now()"),
    "tolerance_s": "3600",
    "too_much": "false",
    "transitions": "'[]'",
    "units": "ARRAY['percent']",
}
"""What stands for each parameter, as SQL."""

OF_ONE_MINUTE = {"start": MINUTE, "swept_from": f"({MINUTE} - interval '10 minutes')"}
OF_ONE_HOST = {
    "kinds": "ARRAY['host']",
    "firsts": "ARRAY[now() - interval '15 seconds']",
    "lasts": "ARRAY[now()]",
    "samples": "ARRAY[2]",
    "samples_min": "10",
    "silent_min_s": "120",
    "intervals": "3",
    "started": f"({MINUTE} - interval '1 hour')",
    "gap": "interval '1 minute'",
    "return_reported_for": "interval '5 minutes'",
}
OWN_VALUES = {
    "hosts.store": OF_ONE_HOST,
    "alerts.evaluation.statement": OF_ONE_MINUTE,
    "alerts.preview.range_evaluation": {"minutes": "60"},
}
"""What a module gives otherwise."""


def modules() -> Iterator[str]:
    """Yield the modules that have statements."""
    for path in sorted(ROOT.glob("[a-z]*/**/*.py")):
        name = path.relative_to(ROOT).with_suffix("")
        if "queries.load" in path.read_text() and name.parts[0] not in {"tests", "bench"}:
            yield ".".join(name.parts)


def statements(module: str) -> Mapping[str, Query]:
    """Return the statements of a module that stand in no file as they are, by their names."""
    if module == HISTORY:
        return _of_history()
    found = import_module(module)
    beside = (ROOT / module.replace(".", "/")).parent.glob("*.sql")
    loaded = [queries.load(str(path)) for path in beside if path.read_bytes().startswith(NAMED)]
    plain = {text for texts in loaded for text in texts.values()}
    return {
        name: text
        for name, text in vars(found).items()
        if isinstance(text, bytes) and name.isupper() and not name.startswith("_")
        if STATEMENT.match(text) and text not in plain
    }


def _of_history() -> Mapping[str, Query]:
    """Return a query of each family: the columns, the tier and the buckets are as asked."""
    own = {"who": "series", "slot": "step", "time": "bucket"}
    days = {"who": "group", "slot": "edges", "time": "bucket"}
    some = ("count", "avg", "stddev")

    def composed(
        query: Query, names: tuple[str, ...], source: str, relation: str, **more: str
    ) -> Query:
        return history.compose(query, names, source, relation=relation, **{**own, **more})

    metrics, counters, sketches = Family.METRICS, Family.COUNTERS, Family.DISTRIBUTIONS
    return {
        "PLAIN": composed(history.PLAIN, some, "plain", f"{metrics}_5m"),
        "FOLD of samples": composed(history.FOLD, some, "samples", metrics, time="time"),
        "FOLD of days, in groups": composed(history.FOLD, some, "buckets", f"{metrics}_1h", **days),
        "PERCENTILES": composed(history.PERCENTILES, ("p50", "p99"), "sketch", f"{sketches}_5m"),
        "RATES": composed(history.RATES, ("rate", "increase"), "counter", f"{counters}_5m"),
    }


def files() -> Mapping[Path, str]:
    """Return each file and its text."""
    found = {module: statements(module) for module in modules()}
    return {
        ROOT / f"{module.replace('.', '/')}{SUFFIX}": _text(module, composed)
        for module, composed in found.items()
        if composed
    }


def _text(module: str, composed: Mapping[str, Query]) -> str:
    names = sorted({name for text in composed.values() for name in PARAMETER.findall(text)})
    place = module.replace(".", "/")
    values = VALUES | OWN_VALUES.get(module, {})
    given = [(name.decode(), values[name.decode()]) for name in names]
    return "\n".join(
        [
            HEADER.format(module=place, file=f"{place}{SUFFIX}", example=given[0][0]),
            *(f"\\set {name} {_quoted(value)}" for name, value in given),
            "\nBEGIN;\n",
            *(f"-- {name}\n{_for_psql(text)};\n" for name, text in composed.items()),
            "ROLLBACK;\n",
        ]
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _for_psql(text: Query) -> str:
    return PARAMETER.sub(rb":\1", text).replace(b"%%", b"%").decode()


def main() -> None:
    """Write every file anew."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
