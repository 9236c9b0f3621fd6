"""Random valid rules, for tests of laws that hold for all rules."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from alerts.rules.model import Rule
from model.series import Category
from model.severity import Level

LEVELS = list(Level)
UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
TEXTS = st.text(st.characters(exclude_categories=UNSAFE), max_size=20)
DURATIONS = st.sampled_from(["0s", "30s", "90s", "5m", "60", "3600s", "1d"])
LINES = st.characters(exclude_categories=UNSAFE, include_characters="\t\r\n")
QUESTIONS = st.text(LINES, min_size=1)
LIMITS = st.floats(-1e140, 1e140, allow_nan=False)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    """Draw what a person may write for a rule, but for its name."""
    levels = draw(st.dictionaries(st.sampled_from(LEVELS), LIMITS, min_size=1))
    kind = draw(st.sampled_from(["threshold", "absence", "change", "ratio", "burn", "sql"]))
    own: dict[str, dict[str, Any]] = {
        "threshold": {},
        "absence": {"no_data": "alert"},
        "change": {"offset": "1h", "relative": draw(st.booleans())},
        "ratio": {"over": "calls"},
        "burn": {"objective": 99.9, "window": "1h", "short_window": "5m"},
        "sql": {"no_data": "ok", "sql": draw(QUESTIONS)},
    }
    given: dict[str, Any] = {
        "kind": kind,
        "metric": draw(st.sampled_from(["load", "disk.used:percent"])),
        "labels": draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        "op": draw(st.sampled_from([">", ">="])),
        "window": draw(st.sampled_from(["1m", "60s", "90", "1d", "7d", 300])),
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
        "runbook": QUESTIONS,
    }
    given |= {name: draw(one) for name, one in optional.items() if draw(st.booleans())}
    if kind != "absence":
        ordered = sorted(levels.values())
        given["levels"] = dict(zip(sorted(levels, key=LEVELS.index), ordered, strict=True))
    return given


@st.composite
def composites(draw: Any, names: list[str]) -> dict[str, Any]:
    """Draw a rule over some others."""
    members = st.lists(st.sampled_from(names), unique=True, max_size=2)
    return {
        "kind": "composite",
        draw(st.sampled_from(["all_of", "any_of"])): [draw(st.sampled_from(names))],
        "none_of": draw(members),
        "by_component": draw(st.booleans()),
        "level": draw(st.sampled_from([None, *LEVELS])),
        "for": draw(DURATIONS),
        "enabled": draw(st.booleans()),
    }


@st.composite
def _sets(draw: Any) -> list[Rule]:
    named = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", fullmatch=True)
    some: dict[str, dict[str, Any]] = draw(st.dictionaries(named, documents(), max_size=4))
    for name, one in some.items():
        if one["kind"] == "sql":
            one["metric"] = f"answers_{name}"
    names = [name for name, one in some.items() if one["kind"] != "sql"]
    if names:
        own = st.dictionaries(named, composites(names), max_size=2)
        some |= {name: one for name, one in draw(own).items() if name not in some}
    order = draw(st.permutations(list(some)))
    return [msgspec.convert({"name": name, **some[name]}, Rule) for name in order]


sets_of_rules = _sets()
