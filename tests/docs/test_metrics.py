"""The reference of metrics holds what the table of metrics says."""

import re
import tomllib
from pathlib import Path

import pytest

from model.metrics import GROUPS, METRICS, Metric

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
WORDING = PAGE.parents[2] / "notifications" / "wording"
HEAD = ["| metric | display name | unit | meaning |", "|---|---|---|---|"]


def row(metric: Metric) -> str:
    labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
    return f"| `{metric.name}{labels}` | {metric.title} | {metric.unit} | {metric.help} |"


@pytest.mark.parametrize("heading", GROUPS)
def test_the_page_lists_the_metrics_of_a_heading(heading: str) -> None:
    [part] = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    lines = [line for line in part.splitlines() if line.startswith("|")]

    assert lines == [*HEAD, *map(row, GROUPS[heading])]


def test_every_metric_has_a_name_for_people_and_a_sentence() -> None:
    assert len(METRICS) == sum(map(len, GROUPS.values()))
    for metric in METRICS.values():
        assert metric.title[0].isupper()
        assert metric.help.endswith(".")
        assert metric.name not in metric.help


def test_messages_call_metrics_by_their_display_names() -> None:
    words = tomllib.loads((WORDING / "en.toml").read_text(encoding="utf-8"))["metric"]

    assert {name: METRICS[name].title for name in words if name in METRICS} == {
        name: title for name, title in words.items() if name in METRICS
    }


def test_every_metric_that_is_collected_is_in_the_table() -> None:
    """Metrics in the code of collectors and of the agent are texts in quotes."""
    root = PAGE.parents[2]
    text = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("collectors", "vigia/agent")
        for file in (root / folder).rglob("*.py")
    )
    readings = set(re.findall(r'Reading\(\s*"([a-z0-9_]+)"', text))

    assert len(readings) > 40
    assert not readings - METRICS.keys()
