"""The measured value and its limit as text."""

from model.series import COMPONENT_UP, HOST_SILENT_SECONDS
from notifications.message import Event
from notifications.wording.naming import metric_text, title_of
from notifications.wording.numbers import duration_text, pair_text, value_text
from notifications.wording.reasons import WITHOUT_VALUE, comment_of, reason_text, sentence
from notifications.wording.situation import Measure, ShownAlert, Situation, one_line
from notifications.wording.templates import Words

AUTO = "auto"
"""The actor of transitions by the evaluation."""
OWN_TEMPLATES = frozenset({"change", "ratio", "burn"})
WITHOUT_AGGREGATE = frozenset({"burn", "sql"})


def values(measure: Measure, alert: ShownAlert, words: Words) -> dict[str, str]:
    """Return the value and the limit as text, without those that are missing."""
    if alert.value is None:
        return {}
    unit = measure.value_unit
    if alert.threshold is None:
        return {"value": value_text(alert.value, unit, words.language)}
    value, limit = pair_text(alert.value, alert.threshold, unit, words.language)
    return {"value": value, "limit": limit}


def what_text(situation: Situation, alert: ShownAlert, words: Words) -> str:
    """Return the value with its limit. Without a value, return the alert's own message."""
    measure, comment = situation.measure, comment_of(situation, alert)
    if measure is None:
        return one_line(alert.message)
    if comment in WITHOUT_VALUE:
        return sentence(reason_text(situation, alert, words))
    is_over = situation.event is Event.RESOLVED and alert.resolved_by == AUTO and not comment
    if measure.metric == COMPONENT_UP:
        return words("value.up") if is_over else one_line(alert.message)
    if measure.metric == HOST_SILENT_SECONDS:
        return words("value.sends") if is_over else one_line(alert.message)
    measured = _measured(measure, alert, words)
    if not measured or not is_over:
        return _with_aggregate(measured, measure, words) or one_line(alert.message)
    return words("value.back", value=measured)


def _measured(measure: Measure, alert: ShownAlert, words: Words) -> str:
    found = values(measure, alert, words)
    if not found:
        return ""
    kind = measure.kind if measure.kind in OWN_TEMPLATES else "threshold"
    return words(
        f"value.{kind}_limit" if "limit" in found else f"value.{kind}",
        metric=metric_text(measure, alert.component, words),
        other=title_of(measure.over, alert.component, measure.category, ""),
        **found,
    )


def _with_aggregate(measured: str, measure: Measure, words: Words) -> str:
    if not measured or measure.kind in WITHOUT_AGGREGATE:
        return measured
    window = duration_text(measure.window_s, words.language)
    aggregate = words(f"aggregate.{measure.agg}", window=window)
    return words("value.aggregate", value=measured, aggregate=aggregate)
