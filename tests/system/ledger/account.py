"""The ledger: what was sent, what of it was acknowledged, and what became of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

Identity = tuple[str, str, tuple[tuple[str, str], ...]]
"""Metric, component and labels in order."""
Row = tuple[Identity, int, float]
"""A series, a time in microseconds, a value."""
Stored = Mapping[Identity, Sequence[tuple[int, float]]]

SHOWN_MAX = 5


def identity_of(metric: str, component: str, labels: Mapping[str, str]) -> Identity:
    """Return what tells a series apart, for which an empty label is none."""
    return metric, component, tuple(sorted((k, v) for k, v in labels.items() if v))


class Verdict(Struct):
    """What is not as it has to be, and a few examples of it."""

    missing: int = 0
    double: int = 0
    changed: int = 0
    foreign: int = 0
    examples: list[str] = []

    @property
    def is_clean(self) -> bool:
        return not (self.missing or self.double or self.changed or self.foreign)

    def show(self, what: str, identity: Identity, found: Iterable[object]) -> None:
        if shown := list(found)[:SHOWN_MAX]:
            self.examples = [*self.examples, f"{what}: {identity} {shown}"][:SHOWN_MAX]


class Ledger:
    """Every sample that was sent, and whether its sender was told that it is safe."""

    def __init__(self) -> None:
        self.sent: dict[Identity, dict[int, float]] = defaultdict(dict)
        self.acknowledged: dict[Identity, set[int]] = defaultdict(set)
        self.by_sender: Counter[str] = Counter()

    def note_sent(self, rows: Iterable[Row]) -> None:
        """Write down samples that may be stored from now on; a time keeps its first value."""
        for identity, time, value in rows:
            self.sent[identity].setdefault(time, value)

    def note_acknowledged(self, sender: str, rows: Iterable[Row]) -> None:
        """Write down samples that must be stored from now on."""
        for identity, time, _ in rows:
            self.by_sender[sender] += time not in self.acknowledged[identity]
            self.acknowledged[identity].add(time)

    @property
    def components(self) -> list[str]:
        return sorted({component for _, component, _ in self.sent})

    def judge(self, stored: Stored) -> Verdict:
        """Compare with everything that is stored of the components that were sent."""
        verdict = Verdict()
        for identity in self.sent.keys() | stored.keys():
            self._judge(identity, stored.get(identity, ()), verdict)
        return verdict

    def _judge(
        self, identity: Identity, rows: Sequence[tuple[int, float]], verdict: Verdict
    ) -> None:
        sent = self.sent.get(identity, {})
        times = Counter(time for time, _ in rows)
        missing = self.acknowledged.get(identity, set()) - times.keys()
        foreign = times.keys() - sent.keys()
        changed = [(t, v, sent[t]) for t, v in rows if t in sent and sent[t] != v]
        double = [time for time, count in times.items() if count > 1]
        verdict.missing += len(missing)
        verdict.foreign += len(foreign)
        verdict.changed += len(changed)
        verdict.double += len(double)
        verdict.show("missing", identity, missing)
        verdict.show("foreign", identity, foreign)
        verdict.show("changed", identity, changed)
        verdict.show("double", identity, double)
