"""The life of an alert in plain Python, against which the SQL is held, a minute at a time.

Everything is counted in minutes.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

Policy = Literal["keep", "ok", "alert"]


@dataclass(frozen=True)
class Terms:
    """What a rule asks."""

    limits: dict[int, float]
    recovery: dict[int, float] = field(default_factory=dict)
    wait: int = 0
    keep: int = 0
    no_data: Policy = "keep"
    no_data_rank: int = 2
    escalate: int | None = None
    flap_count: int = 0
    flap_window: int = 60
    tolerance: int = 60
    grace: int = 10


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


def loudest(value: float, limits: dict[int, float]) -> int:
    return max((rank for rank, limit in limits.items() if value > limit), default=0)


def step(
    thing: Thing, terms: Terms, value: float | None, at: int, last_at: int | None
) -> tuple[Thing, str]:
    """Return what follows from one minute, and the word for it."""
    thing, passed = over_gap(thing, terms, at, last_at)
    if value is None:
        policy = "keep" if terms.no_data == "alert" and not thing.seen else terms.no_data
        if policy == "keep":
            return replace(thing, looked=False), ""
        up = terms.no_data_rank if policy == "alert" else 0
        stay = 4 if policy == "alert" else 0
    else:
        up, stay = loudest(value, terms.limits), loudest(value, terms.limits | terms.recovery)
    thing = replace(thing, seen=thing.seen or value is not None)
    passed = passed if thing.looked else 0
    follow = firing if thing.phase == "firing" else quiet
    after, said = follow(thing, terms, up, stay, passed, at)
    return replace(after, looked=True), said


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
    thing: Thing, terms: Terms, up: int, _stay: int, passed: int, at: int
) -> tuple[Thing, str]:
    if up == 0:
        return replace(thing, phase="ok", broken_for=0), ""
    broken_for = thing.broken_for + passed if thing.phase == "pending" else 0
    if broken_for < terms.wait:
        return replace(thing, phase="pending", broken_for=broken_for), ""
    opens = (*thing.opens, at)[-terms.flap_count :] if terms.flap_count else ()
    flaps = bool(opens) and len(opens) == terms.flap_count and at - opens[0] < terms.flap_window
    opened = Thing(
        "firing", thing.seen, value_rank=up, raised_at=at, opens=opens,
        flaps=flaps,
    )  # fmt: skip
    return opened, "opened"


def firing(
    thing: Thing, terms: Terms, up: int, stay: int, passed: int, at: int
) -> tuple[Thing, str]:
    value_rank = max(up, min(thing.value_rank, stay))
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
