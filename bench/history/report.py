"""The results of the history benchmark as tables for people, and as one line for programs."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from bench.history import concurrency
from bench.history.competitors import CACHED, PLAIN, VIGIA
from bench.history.concurrency import Served, cpu_times
from bench.history.questions import LONG, QUESTIONS, SHORT, WIDE, Question
from bench.history.timing import Timing
from bench.tables import print_table

PROMETHEUS, VICTORIA = "Prometheus", "VictoriaMetrics"
COLUMNS = (VIGIA, PLAIN, PROMETHEUS, VICTORIA, CACHED)

SQL_TIMES, SQL_PLUS_MS = 2.0, 0.7
TIMES_MAX = {
    SHORT: {PROMETHEUS: 3.0, VICTORIA: 4.0, CACHED: 8.0},
    WIDE: {PROMETHEUS: 1.5, VICTORIA: 3.0, CACHED: 100.0},
    LONG: {PROMETHEUS: 0.2, VICTORIA: 1.0, CACHED: 10.0},
}
"""The limit of the ratio of Vigia's time to that of a peer, by family."""
CPU_TIMES_MAX = {PROMETHEUS: 3.0, VICTORIA: 8.0, CACHED: 16.0}
"""The limit of the ratio of Vigia's CPU for an answer to that of a peer."""
APART = CACHED
"""A cached answer costs nearly nothing. Its limits are separate."""
GROWTH_MAX = 2.0

Timings = dict[str, Timing]


class Growth(Struct, frozen=True):
    """Timings of the same number of points over a range, and over a ten times longer range."""

    hours: tuple[int, int]
    points: tuple[int, int]
    tiers: tuple[str, str]
    timings: tuple[Timing, Timing]

    @property
    def ratio(self) -> float:
        short, long = self.timings
        return long.p50_ms / short.p50_ms


class Measured(Struct, frozen=True):
    """Timings by query and competitor, for growing ranges, and for empty answers."""

    answers: dict[str, Timings]
    growth: list[Growth]
    floors: Timings
    served: list[Served]

    def limit_ms(self, question: Question) -> float | None:
        """Return the limit of the time through HTTP, or None without a form in plain SQL."""
        plain = self.answers[question.name].get(PLAIN)
        return None if plain is None else SQL_TIMES * plain.p50_ms + SQL_PLUS_MS

    def of_limit(self, question: Question) -> float | None:
        limit_ms = self.limit_ms(question)
        return None if limit_ms is None else self.answers[question.name][VIGIA].p50_ms / limit_ms

    def times(self, family: str, peer: str) -> float | None:
        """Return the highest ratio of Vigia's time to that of a peer, or None without the peer."""
        answers = [self.answers[q.name] for q in QUESTIONS if q.family == family]
        return max((a[VIGIA].p50_ms / a[peer].p50_ms for a in answers if peer in a), default=None)


def report(measured: Measured) -> None:
    _report_answers(measured)
    _report_times(measured)
    concurrency.report(measured.served)
    print("One series with a step that Vigia chooses, and then ten times the range.\n")
    print_table(
        ["ranges", "points", "tiers", "p50 ms", "ratio"],
        [
            [
                "{} h, {} h".format(*one.hours),
                "{}, {}".format(*one.points),
                "{}, {}".format(*one.tiers),
                ", ".join(f"{timing.p50_ms:.2f}" for timing in one.timings),
                f"{one.ratio:.2f}",
            ]
            for one in measured.growth
        ],
    )
    print_table(
        ["nothing but", "p50 ms", "p95 ms"],
        [[name, f"{t.p50_ms:.2f}", f"{t.p95_ms:.2f}"] for name, t in measured.floors.items()],
    )


def _report_answers(measured: Measured) -> None:
    present = [name for name in COLUMNS if any(name in one for one in measured.answers.values())]
    rows = []
    for question in QUESTIONS:
        found = measured.answers[question.name]
        timings = [found.get(name) for name in present]
        row = [f"{t.p50_ms:.2f} / {t.p95_ms:.2f} ({t.repeats})" if t else "" for t in timings]
        limits = (measured.limit_ms(question), measured.of_limit(question))
        rows.append([question.name, *row, *("" if n is None else f"{n:.2f}" for n in limits)])
    print("p50 / p95 in ms (repeats); the limit is 2 x SQL + 0.7 ms.\n")
    print_table(["question", *present, "limit", "Vigia / limit"], rows)


def _report_times(measured: Measured) -> None:
    peers = [peer for peer in CPU_TIMES_MAX if any(peer in a for a in measured.answers.values())]
    if not peers:
        return
    print("Highest ratio of Vigia's time or CPU to that of a peer (limit).\n")
    rows = [[f"{family} queries", *_cells(measured, family, peers)] for family in TIMES_MAX]
    cpu = [_cell(cpu_times(measured.served, peer), CPU_TIMES_MAX[peer]) for peer in peers]
    print_table(["Vigia /", *peers], [*rows, ["CPU of an answer", *cpu]])


def _cells(measured: Measured, family: str, peers: Sequence[str]) -> list[str]:
    return [_cell(measured.times(family, peer), TIMES_MAX[family][peer]) for peer in peers]


def _cell(times: float | None, most: float) -> str:
    return "" if times is None else f"{times:.2f} ({most:g})"


def summary(measured: Measured) -> dict[str, object]:
    """Return the worst of each figure. `ratio` is the time through HTTP divided by its limit."""
    ratio = max(found for q in QUESTIONS if (found := measured.of_limit(q)) is not None)
    growth = max((one.ratio for one in measured.growth), default=0.0)
    times = {
        family: {peer: measured.times(family, peer) for peer in peers}
        for family, peers in TIMES_MAX.items()
    }
    cpu = {peer: cpu_times(measured.served, peer) for peer in CPU_TIMES_MAX}
    limits = [*((times[family], most) for family, most in TIMES_MAX.items()), (cpu, CPU_TIMES_MAX)]
    return {
        "ratio": round(ratio, 3),
        "growth": round(growth, 2),
        "times": {family: _rounded(found) for family, found in times.items()},
        "cpu_times": _rounded(cpu),
        "p50_ms": {q.name: round(measured.answers[q.name][VIGIA].p50_ms, 2) for q in QUESTIONS},
        "cpu_ms": {f"{one.who}, {one.clients}": round(one.cpu_ms, 3) for one in measured.served},
        "is_met": ratio <= 1
        and growth < GROWTH_MAX
        and all(_is_met(*one, peer) for one in limits for peer in CPU_TIMES_MAX if peer != APART),
        "is_met_beside_caches": all(_is_met(*one, APART) for one in limits),
    }


def _is_met(found: Mapping[str, float | None], most: Mapping[str, float], peer: str) -> bool:
    times = found[peer]
    return times is None or times <= most[peer]


def _rounded(found: Mapping[str, float | None]) -> dict[str, float]:
    return {peer: round(times, 2) for peer, times in found.items() if times is not None}
