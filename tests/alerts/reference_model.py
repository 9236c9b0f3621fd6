"""The life of an alert in plain Python, against which the SQL is held, a minute at a time.

Written from the table in docs/reference/alerts.md. Everything is counted in minutes.
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
    """The one instance that the rule looks at; None: all of them."""
    enabled: bool = True


@dataclass(frozen=True)
class Instance:
    """How one series stands with one rule."""

    phase: str = "ok"
    seen: bool = False
    breached_for: int = 0
    """Minutes that were seen broken, while pending."""
    clear_for: int | None = None
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


def breached(value: float, limits: dict[int, float], op: Op) -> set[int]:
    return {rank for rank, limit in limits.items() if BREAKS[op](value, limit)}


def transition(
    instance: Instance,
    terms: Terms,
    value: float | None,
    at: int,
    last_at: int | None,
    *,
    fails: bool = False,
) -> tuple[Instance, str]:
    """Return what follows from one minute, and the word for it; a rule that fails reads nothing."""
    instance, passed = over_gap(instance, terms, at, last_at)
    if value is None or fails:
        policy = terms.on_error if fails else terms.no_data
        if policy == "keep" or (policy == "alert" and not instance.seen):
            return known(replace(instance, looked=False), terms), ""
        rank_breached = terms.no_data_rank if policy == "alert" else 0
        retained = {1, 2, 3, 4} if policy == "alert" else set()
    else:
        rank_breached = max(breached(value, terms.limits, terms.op), default=0)
        retained = breached(value, terms.limits | terms.recovery, terms.op)
        instance = replace(instance, seen=True)
    passed = passed if instance.looked else 0
    follow = firing if instance.phase == "firing" else not_firing
    after, said = follow(instance, terms, rank_breached, retained, passed, at)
    return known(replace(after, looked=True), terms), said


def known(instance: Instance, terms: Terms) -> Instance:
    """Return it as it is remembered: that there was data, as long as that is of any interest."""
    matters = "alert" in {terms.no_data, terms.on_error}
    seen = instance.phase != "ok" or bool(instance.opens) or (matters and instance.seen)
    return replace(instance, seen=seen)


def over_gap(
    instance: Instance, terms: Terms, at: int, last_at: int | None
) -> tuple[Instance, int]:
    """Return the instance after time in which nobody looked, and how much of the time counts."""
    passed = 0 if last_at is None else at - last_at
    if passed <= 2:
        return instance, passed
    if passed > terms.tolerance:
        clear = None if instance.clear_for is None else 0
        return replace(instance, breached_for=0, clear_for=clear), 0
    if instance.phase == "pending":
        left = terms.wait - instance.breached_for
        if terms.wait < terms.grace:
            instance = replace(instance, breached_for=0)
        elif 0 < left < terms.grace:
            instance = replace(instance, breached_for=terms.wait - terms.grace)
    return instance, 0


def not_firing(
    instance: Instance, terms: Terms, rank_breached: int, _retained: set[int], passed: int, at: int
) -> tuple[Instance, str]:
    if rank_breached == 0:
        return replace(instance, phase="ok", breached_for=0), ""
    breached_for = instance.breached_for + passed if instance.phase == "pending" else 0
    if breached_for < terms.wait:
        return replace(instance, phase="pending", breached_for=breached_for), ""
    opens = (*instance.opens, at)[-terms.flap_count :] if terms.flap_count else instance.opens
    flaps = 0 < terms.flap_count == len(opens) and at - opens[0] < terms.flap_window
    opened = Instance(
        "firing", instance.seen, value_rank=rank_breached, raised_at=at, opens=opens,
        flaps=flaps,
    )  # fmt: skip
    return opened, "opened"


def firing(
    instance: Instance, terms: Terms, rank_breached: int, retained: set[int], passed: int, at: int
) -> tuple[Instance, str]:
    value_rank = max(rank_breached, *(rank for rank in retained if rank <= instance.value_rank), 0)
    if value_rank == 0:
        clear_for = 0 if instance.clear_for is None else instance.clear_for + passed
        keep = max(terms.keep, terms.flap_window) if instance.flaps else terms.keep
        if clear_for >= keep:
            return Instance(seen=instance.seen, opens=instance.opens), "resolved"
        return replace(instance, clear_for=clear_for), ""
    return raised(
        replace(instance, clear_for=None, value_rank=value_rank), terms, instance.rank, at
    )


def raised(instance: Instance, terms: Terms, before: int, at: int) -> tuple[Instance, str]:
    """Return the level that follows: the value's, or one more when nobody acknowledged it."""
    floor = instance.floor
    waited = terms.escalate is not None and at - instance.raised_at >= terms.escalate
    rank = max(instance.value_rank, floor)
    if waited and not instance.acknowledged and instance.value_rank <= before and rank < 4:
        floor = rank + 1
    instance = replace(instance, floor=floor)
    if instance.rank > before:
        return replace(instance, raised_at=at), "escalated"
    return instance, "lowered" if instance.rank < before else ""


@dataclass
class ModelAlert:
    """An alert, and what its audit says: the step, the level after it, and who took it."""

    rule: int
    instance: int
    rank: int
    flaps: bool
    is_open: bool = True
    acknowledged: bool = False
    audit: list[tuple[str, int, str]] = field(default_factory=list)

    def log(self, word: str, actor: str) -> None:
        self.audit.append((word, self.rank, actor))


class Model:
    """Rules over the same instances, the alerts that they raise, and what is done to both."""

    def __init__(self, rules: Sequence[Terms], instances: int) -> None:
        self.rules = list(rules)
        self.instances = [[Instance()] * instances for _ in rules]
        self.failed_at: list[int | None] = [None] * len(rules)
        self.says_error = [False] * len(rules)
        self.alerts: list[ModelAlert] = []
        self.last_at: int | None = None

    def open_about(self, rule: int, number: int) -> ModelAlert:
        [found] = [
            a for a in self.alerts if (a.rule, a.instance, a.is_open) == (rule, number, True)
        ]
        return found

    def pass_minute(self, at: int, values: Sequence[float | None]) -> list[tuple[int, int, str]]:
        """Return each step: of which rule, of which instance, and its word."""
        transitions = []
        for rule, terms in enumerate(self.rules):
            for number, value in enumerate(values):
                if said := self._pass_minute(rule, number, terms, value, at):
                    transitions.append((rule, number, said))
        self.last_at = at
        return transitions

    def _pass_minute(
        self, rule: int, number: int, terms: Terms, value: float | None, at: int
    ) -> str:
        before, fails = self.instances[rule][number], self.failed_at[rule] is not None
        is_seen = terms.enabled and (fails or terms.only in {None, number})
        if is_seen:
            after, said = transition(before, terms, value, at, self.last_at, fails=fails)
        else:
            after, said = Instance(), "resolved" if before.phase == "firing" else ""
        self.instances[rule][number] = after
        if said == "opened":
            self.alerts.append(ModelAlert(rule, number, after.rank, after.flaps))
        if said:
            alert = self.open_about(rule, number)
            alert.rank = after.rank or alert.rank
            alert.is_open = said != "resolved"
            alert.log(said, "auto")
        return said

    def rule_errors(self) -> list[tuple[int, str]]:
        """Return which rules have come into the state `error`, or out of it, and the word."""
        now = [t.enabled and f is not None for t, f in zip(self.rules, self.failed_at, strict=True)]
        reported = [
            (rule, "opened" if is_one else "resolved")
            for rule, (was, is_one) in enumerate(zip(self.says_error, now, strict=True))
            if was != is_one
        ]
        self.says_error = now
        return reported

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

    def act(self, what: str, alert: ModelAlert, at: int) -> bool:
        """Let a person take a step; False when the alert is in no state for it."""
        if what == "acknowledged":
            return self.acknowledge(alert)
        if what == "resolved":
            return self.resolve(alert)
        return what == "commented" or self.reopen(alert, at)

    def acknowledge(self, alert: ModelAlert) -> bool:
        if not alert.is_open or alert.acknowledged:
            return False
        self._set(alert, acknowledged=True)
        alert.acknowledged = True
        return True

    def resolve(self, alert: ModelAlert) -> bool:
        if not alert.is_open:
            return False
        old, terms = self.instances[alert.rule][alert.instance], self.rules[alert.rule]
        clear = known(Instance(seen=old.seen, opens=old.opens), terms)
        self.instances[alert.rule][alert.instance] = clear
        alert.is_open = False
        return True

    def reopen(self, alert: ModelAlert, at: int) -> bool:
        about = [a for a in self.alerts if (a.rule, a.instance) == (alert.rule, alert.instance)]
        if alert.is_open or alert is not about[-1] or not self.rules[alert.rule].enabled:
            return False
        self._set(
            alert, phase="firing", seen=True, breached_for=0, clear_for=None, looked=True,
            value_rank=alert.rank, floor=0, raised_at=at, acknowledged=False, flaps=alert.flaps,
        )  # fmt: skip
        alert.is_open, alert.acknowledged = True, False
        return True

    def _set(self, alert: ModelAlert, **changes: Any) -> None:
        instance = self.instances[alert.rule][alert.instance]
        self.instances[alert.rule][alert.instance] = replace(instance, **changes)
