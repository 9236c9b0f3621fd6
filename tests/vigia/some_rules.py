"""Any rules that make sense, for tests that hold for all of them."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from db.rules import Rule
from vigia.model import Category, Level

LEVELS = list(Level)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
DURATIONS = st.sampled_from(["0s", "30s", "90s", "5m", "60", "3600s", "1d"])
LIMITS = st.floats(-1e140, 1e140, allow_nan=False)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """Draw what a person may write for a rule, but for its name."""
    levels = draw(st.dictionaries(st.sampled_from(LEVELS), LIMITS, min_size=1))
    kind = draw(st.sampled_from(["threshold", "absence", "change", "ratio", "burn"]))
    own: dict[str, dict[str, Any]] = {
        "threshold": {},
        "absence": {"no_data": "alert"},
        "change": {"offset": "1h", "relative": draw(st.booleans())},
        "ratio": {"over": "calls"},
        "burn": {"objective": 99.9, "window": "1h", "short_window": "5m"},
    }
    given: dict[str, Any] = {
        "kind": kind,
        "metric": draw(st.sampled_from(["load", "disk.used:percent"])),
        "labels": draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        "op": draw(st.sampled_from([">", ">="])),
        "window": draw(st.sampled_from(["1m", "60s", "90", "1d"])),
        "for": draw(DURATIONS),
        "keep_firing_for": draw(DURATIONS),
        "flap_count": draw(st.integers(0, 100)),
        "enabled": draw(st.booleans()),
        **own[kind],
    }
    optional = {
        "component": TEXTS,
        "category": st.sampled_from([c.value for c in Category]),
        "escalate_after": st.sampled_from(["5m", "300s"]),
        "runbook": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    }
    given |= {name: draw(one) for name, one in optional.items() if draw(st.booleans())}
    if kind != "absence":
        ordered = sorted(levels.values())
        given["levels"] = dict(zip(sorted(levels, key=LEVELS.index), ordered, strict=True))
    return given


sets_of_rules = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", fullmatch=True), documents(), max_size=4
).map(lambda some: [msgspec.convert({"name": name, **one}, Rule) for name, one in some.items()])
