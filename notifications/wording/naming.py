"""Names of metrics, components and labels for use in sentences."""

import re
from collections.abc import Mapping

from notifications.wording.situation import NAME_LENGTH_MAX, Measure, ShownAlert, one_line
from notifications.wording.templates import Words

ABBREVIATIONS: Mapping[str, str] = {
    "api": "API",
    "cpu": "CPU",
    "dns": "DNS",
    "http": "HTTP",
    "pnl": "PnL",
    "sql": "SQL",
    "tls": "TLS",
}
LABELS_MAX = 5


def metric_text(measure: Measure, component: str, words: Words) -> str:
    """Return the name of the metric that a rule compares."""
    own = words.get(f"metric.{measure.metric}", "")
    return own or title_of(measure.metric, component, measure.category, measure.unit)


def title_of(metric: str, component: str, category: str, unit: str) -> str:
    """Return a metric's name without words that its component or unit repeat, as on the pages."""
    words = [word for word in metric.split("_") if word not in {"", unit}]
    if len(words) > 1 and words[0] in {component, category}:
        words = words[1:]
    text = " ".join(
        ABBREVIATIONS.get(word, re.sub(r"^load(\d+)$", r"load \1 min", word)) for word in words
    )
    return one_line(text[:1].upper() + text[1:] or metric, NAME_LENGTH_MAX)


def where_text(alert: ShownAlert) -> str:
    """Return the component and the labels that identify the series, or else the rule."""
    labels = [f"{name} {value}" for name, value in sorted(alert.labels.items())]
    rest = ["…"] if len(labels) > LABELS_MAX else []
    parts = [alert.component, *labels[:LABELS_MAX]]
    named = [one_line(part, NAME_LENGTH_MAX) for part in parts if part]
    return ", ".join([*named, *rest]) or one_line(alert.rule or alert.title, NAME_LENGTH_MAX)
