"""Whatever others wrote, a message is short, and nothing in it is interpreted or escaped."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from model.severity import Level
from model.text import clean
from notifications.message import Event
from notifications.wording.compose import compose
from notifications.wording.situation import TITLE_LENGTH_MAX, Expired, Measure, Reader, StepReached
from tests.notifications.hostile import HOSTILE
from tests.notifications.wording.situations import (
    ENGLISH,
    HOUR,
    PORTUGUESE,
    alert,
    situation,
    step,
)

TITLE_MAX, TEXT_MAX = 250, 4000
"""Whatever is put in; most messages have a tenth of it."""
ACKNOWLEDGED = {"acknowledged_at": "2026-03-01T03:03:00Z", "acknowledged_by": "ana"}
TEXT = st.text(max_size=80) | st.sampled_from(HOSTILE) | st.sampled_from([t * 20 for t in HOSTILE])
OUTCOMES = st.fixed_dictionaries(
    {
        "level": st.sampled_from(list(Level)),
        "rule": TEXT,
        "component": TEXT,
        "labels": st.dictionaries(TEXT, TEXT, max_size=12),
        "title": TEXT,
        "message": TEXT,
        "value": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "threshold": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "acknowledged_by": st.none() | TEXT,
        "acknowledged_at": st.sampled_from([None, "2026-03-01T03:03:00Z"]),
        "resolved_by": st.none() | TEXT,
        "resolved_at": st.sampled_from([None, "2026-03-01T03:12:00Z"]),
        "events": st.lists(
            st.builds(step, st.sampled_from(list(Event)), st.just(3), TEXT, TEXT), max_size=5
        ),
    }
)
MEASURES = st.builds(
    Measure,
    metric=TEXT,
    unit=TEXT | st.sampled_from(["percent", "bytes", "ms", "seconds", "days", ""]),
    kind=st.sampled_from(["threshold", "absence", "change", "ratio", "burn", "composite", "sql"]),
    agg=st.sampled_from(["avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate"]),
    over=TEXT,
)
SITUATIONS = st.fixed_dictionaries(
    {
        "event": st.sampled_from(list(Event)),
        "of": OUTCOMES.map(lambda fields: alert(**fields)),
        "previous_level": st.none() | st.sampled_from(list(Level)),
        "measure": st.none() | MEASURES,
        "last_hour": st.sampled_from([None, HOUR]),
        "what_changed": st.lists(TEXT, max_size=8),
        "runbook": TEXT,
        "step": st.none() | st.builds(StepReached, st.integers(1, 9), st.integers(1, 9)),
        "expired": st.none() | st.builds(Expired, TEXT, st.floats(0, 1e6)),
    }
)


@given(SITUATIONS, st.sampled_from([ENGLISH, PORTUGUESE]))
def test_whatever_it_is_made_of_a_message_is_short_and_plain(
    fields: dict[str, Any], reader: Reader
) -> None:
    message = compose(situation(**fields), reader)
    assert 0 < len(message.title) <= TITLE_MAX
    assert len(message.text) <= TEXT_MAX
    assert clean(message.title) == message.title
    assert all(clean(line) == line != "" for line in message.text.split("\n"))
    assert all(0 < len(text) <= 60 for fact in message.facts for text in fact)


@given(TEXT, st.sampled_from([ENGLISH, PORTUGUESE]))
def test_no_text_of_others_is_interpreted_or_escaped(text: str, reader: Reader) -> None:
    plain = " ".join(clean(text).split())
    whole = alert(title=text, message=text, component=text, resolved_by=text, **ACKNOWLEDGED)
    message = compose(
        situation(of=whole, measure=None, what_changed=[text], runbook=f"see {text}"), reader
    )
    if len(plain) <= 50:
        assert message.title.endswith(f"] {plain}")
        assert message.text.count(plain) >= 3
    else:
        assert plain[:50] in message.title
    assert len(plain) <= TITLE_LENGTH_MAX or message.title.endswith("…")
