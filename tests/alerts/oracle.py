"""The life of an alert in plain Python, against which the SQL is held, a minute at a time.

Written from the table in docs/alerts.md. Everything is counted in minutes.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Policy = Literal["keep", "ok", "alert"]
Op = Literal[">", ">=", "<", "<="]
BREAKS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Terms:
    """What a rule asks."""

    limits: dict[int, float]
    op: Op = ">"
    recovery: dict[int, float] = field(default_factory=dict)
    wait: int = 0
    keep: int = 0
    no_data: Policy = "keep"
    on_error: Policy = "keep"
    no_data_rank: int = 2
    escalate: int | None = None
    flap_count: int = 0
    flap_window: int = 60
    tolerance: int = 60
    grace: int = 10
    only: int | None = None
    """The one thing that the rule looks at; None: all of them."""
    enabled: bool = True


@dataclass(frozen=True)
class Thing:
    """How one series stands with one rule."""

    phase: str = "ok"
    seen: bool = False
    broken_for: int = 0
    """Minutes that were seen broken, while pending."""
    calm_for: int | None = None
    """Minutes that were seen calm, while firing."""
    looked: bool = True
    """Whether the last minute was seen: only from one such to the next does time count."""
    value_rank: int = 0
    floor: int = 0
    """The level it was raised to because nobody acknowledged it."""
    raised_at: int = 0
    acknowledged: bool = False
    opens: tuple[int, ...] = ()
    flaps: bool = False

    @property
    def rank(self) -> int:
        return max(self.value_rank, self.floor)


def broken(value: float, limits: dict[int, float], op: Op) -> set[int]:
    return {rank for rank, limit in limits.items() if BREAKS[op](value, limit)}


def step(
    thing: Thing,
    terms: Terms,
    value: float | None,
    at: int,
    last_at: int | None,
    *,
    fails: bool = False,
) -> tuple[Thing, str]:
    """Return what follows from one minute, and the word for it; a rule that fails reads nothing."""
    thing, passed = over_gap(thing, terms, at, last_at)
    if value is None or fails:
        policy = terms.on_error if fails else terms.no_data
        if policy == "keep" or (policy == "alert" and not thing.seen):
            return known(replace(thing, looked=False), terms), ""
        up = terms.no_data_rank if policy == "alert" else 0
        stay = {1, 2, 3, 4} if policy == "alert" else set()
    else:
        up = max(broken(value, terms.limits, terms.op), default=0)
        stay = broken(value, terms.limits | terms.recovery, terms.op)
        thing = replace(thing, seen=True)
    passed = passed if thing.looked else 0
    follow = firing if thing.phase == "firing" else quiet
    after, said = follow(thing, terms, up, stay, passed, at)
    return known(replace(after, looked=True), terms), said


def known(thing: Thing, terms: Terms) -> Thing:
    """Return it as it is remembered: that there was data, as long as that is of any interest."""
    matters = "alert" in {terms.no_data, terms.on_error}
    seen = thing.phase != "ok" or bool(thing.opens) or (matters and thing.seen)
    return replace(thing, seen=seen)


def over_gap(thing: Thing, terms: Terms, at: int, last_at: int | None) -> tuple[Thing, int]:
    """Return the thing after time in which nobody looked, and how much of the time counts."""
    passed = 0 if last_at is None else at - last_at
    if passed <= 2:
        return thing, passed
    if passed > terms.tolerance:
        calm = None if thing.calm_for is None else 0
        return replace(thing, broken_for=0, calm_for=calm), 0
    if thing.phase == "pending":
        left = terms.wait - thing.broken_for
        if terms.wait < terms.grace:
            thing = replace(thing, broken_for=0)
        elif 0 < left < terms.grace:
            thing = replace(thing, broken_for=terms.wait - terms.grace)
    return thing, 0


def quiet(
    thing: Thing, terms: Terms, up: int, _stay: set[int], passed: int, at: int
) -> tuple[Thing, str]:
    if up == 0:
        return replace(thing, phase="ok", broken_for=0), ""
    broken_for = thing.broken_for + passed if thing.phase == "pending" else 0
    if broken_for < terms.wait:
        return replace(thing, phase="pending", broken_for=broken_for), ""
    opens = (*thing.opens, at)[-terms.flap_count :] if terms.flap_count else thing.opens
    flaps = 0 < terms.flap_count == len(opens) and at - opens[0] < terms.flap_window
    opened = Thing(
        "firing", thing.seen, value_rank=up, raised_at=at, opens=opens,
        flaps=flaps,
    )  # fmt: skip
    return opened, "opened"


def firing(
    thing: Thing, terms: Terms, up: int, stay: set[int], passed: int, at: int
) -> tuple[Thing, str]:
    value_rank = max(up, *(rank for rank in stay if rank <= thing.value_rank), 0)
    if value_rank == 0:
        calm_for = 0 if thing.calm_for is None else thing.calm_for + passed
        keep = max(terms.keep, terms.flap_window) if thing.flaps else terms.keep
        if calm_for >= keep:
            return Thing(seen=thing.seen, opens=thing.opens), "resolved"
        return replace(thing, calm_for=calm_for), ""
    return loud(replace(thing, calm_for=None, value_rank=value_rank), terms, thing.rank, at)


def loud(thing: Thing, terms: Terms, before: int, at: int) -> tuple[Thing, str]:
    """Return the level that follows: the value's, or one more when nobody acknowledged it."""
    floor = thing.floor
    waited = terms.escalate is not None and at - thing.raised_at >= terms.escalate
    rank = max(thing.value_rank, floor)
    if waited and not thing.acknowledged and thing.value_rank <= before and rank < 4:
        floor = rank + 1
    thing = replace(thing, floor=floor)
    if thing.rank > before:
        return replace(thing, raised_at=at), "escalated"
    return thing, "lowered" if thing.rank < before else ""


@dataclass
class Told:
    """An alert, and what its audit says: the step, the level after it, and who took it."""

    rule: int
    thing: int
    rank: int
    flaps: bool
    is_open: bool = True
    acknowledged: bool = False
    audit: list[tuple[str, int, str]] = field(default_factory=list)

    def say(self, word: str, actor: str) -> None:
        self.audit.append((word, self.rank, actor))


class Model:
    """Rules over the same things, the alerts that they raise, and what is done to both."""

    def __init__(self, rules: Sequence[Terms], things: int) -> None:
        self.rules = list(rules)
        self.things = [[Thing()] * things for _ in rules]
        self.failed_at: list[int | None] = [None] * len(rules)
        self.says_error = [False] * len(rules)
        self.alerts: list[Told] = []
        self.last_at: int | None = None

    def open_about(self, rule: int, number: int) -> Told:
        [found] = [a for a in self.alerts if (a.rule, a.thing, a.is_open) == (rule, number, True)]
        return found

    def pass_minute(self, at: int, values: Sequence[float | None]) -> list[tuple[int, int, str]]:
        """Return each step: of which rule, of which thing, and its word."""
        steps = []
        for rule, terms in enumerate(self.rules):
            for number, value in enumerate(values):
                if said := self._turn(rule, number, terms, value, at):
                    steps.append((rule, number, said))
        self.last_at = at
        return steps

    def _turn(self, rule: int, number: int, terms: Terms, value: float | None, at: int) -> str:
        before, fails = self.things[rule][number], self.failed_at[rule] is not None
        is_seen = terms.enabled and (fails or terms.only in {None, number})
        if is_seen:
            after, said = step(before, terms, value, at, self.last_at, fails=fails)
        else:
            after, said = Thing(), "resolved" if before.phase == "firing" else ""
        self.things[rule][number] = after
        if said == "opened":
            self.alerts.append(Told(rule, number, after.rank, after.flaps))
        if said:
            alert = self.open_about(rule, number)
            alert.rank = after.rank or alert.rank
            alert.is_open = said != "resolved"
            alert.say(said, "auto")
        return said

    def tell_errors(self) -> list[tuple[int, str]]:
        """Return which rules have come into the state `error`, or out of it, and the word."""
        now = [t.enabled and f is not None for t, f in zip(self.rules, self.failed_at, strict=True)]
        told = [
            (rule, "opened" if is_one else "resolved")
            for rule, (was, is_one) in enumerate(zip(self.says_error, now, strict=True))
            if was != is_one
        ]
        self.says_error = now
        return told

    def retry(self, at: int) -> None:
        """Let rules be well again that were tried: after five minutes."""
        for rule, failed_at in enumerate(self.failed_at):
            is_due = failed_at is not None and at - failed_at >= 5
            if is_due and self.rules[rule].enabled:
                self.failed_at[rule] = None

    def change(self, rule: int, terms: Terms) -> None:
        self.rules[rule], self.failed_at[rule] = terms, None

    def fail(self, rule: int, at: int) -> None:
        if self.failed_at[rule] is None:
            self.failed_at[rule] = at

    def act(self, what: str, alert: Told, at: int) -> bool:
        """Let a person take a step; False when the alert is in no state for it."""
        if what == "acknowledged":
            return self.acknowledge(alert)
        if what == "resolved":
            return self.resolve(alert)
        return what == "commented" or self.reopen(alert, at)

    def acknowledge(self, alert: Told) -> bool:
        if not alert.is_open or alert.acknowledged:
            return False
        self._set(alert, acknowledged=True)
        alert.acknowledged = True
        return True

    def resolve(self, alert: Told) -> bool:
        if not alert.is_open:
            return False
        old, terms = self.things[alert.rule][alert.thing], self.rules[alert.rule]
        calm = known(Thing(seen=old.seen, opens=old.opens), terms)
        self.things[alert.rule][alert.thing] = calm
        alert.is_open = False
        return True

    def reopen(self, alert: Told, at: int) -> bool:
        about = [a for a in self.alerts if (a.rule, a.thing) == (alert.rule, alert.thing)]
        if alert.is_open or alert is not about[-1] or not self.rules[alert.rule].enabled:
            return False
        self._set(
            alert, phase="firing", seen=True, broken_for=0, calm_for=None, looked=True,
            value_rank=alert.rank, floor=0, raised_at=at, acknowledged=False, flaps=alert.flaps,
        )  # fmt: skip
        alert.is_open, alert.acknowledged = True, False
        return True

    def _set(self, alert: Told, **changes: Any) -> None:
        thing = self.things[alert.rule][alert.thing]
        self.things[alert.rule][alert.thing] = replace(thing, **changes)
