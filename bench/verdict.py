"""What the history benchmark measured, as tables for people and as one line for machines."""

from msgspec import Struct

from bench.contest import CACHED, PLAIN, VIGIA
from bench.questions import DAY_S, QUESTIONS, Question
from bench.tables import print_table
from bench.timing import Timing

PROMETHEUS, VICTORIA = "Prometheus", "VictoriaMetrics"
COLUMNS = (VIGIA, PLAIN, PROMETHEUS, VICTORIA, CACHED)

SQL_TIMES, SQL_PLUS_MS = 2.0, 0.7
LONG_S = 7 * DAY_S
TIMES_FASTER = {PROMETHEUS: 5.0, VICTORIA: 1.0}
GROWTH_MAX = 2.0

Timings = dict[str, Timing]


class Growth(Struct, frozen=True):
    """The same number of points over a range, and over ten times that."""

    hours: tuple[int, int]
    points: tuple[int, int]
    tiers: tuple[str, str]
    timings: tuple[Timing, Timing]

    @property
    def ratio(self) -> float:
        short, long = self.timings
        return long.p50_ms / short.p50_ms


class Measured(Struct, frozen=True):
    """Timings by question and who was asked, of growing ranges, and of answering nothing."""

    answers: dict[str, Timings]
    growth: list[Growth]
    floors: Timings

    def limit_ms(self, question: Question) -> float:
        return SQL_TIMES * self.answers[question.name][PLAIN].p50_ms + SQL_PLUS_MS

    def of_limit(self, question: Question) -> float:
        return self.answers[question.name][VIGIA].p50_ms / self.limit_ms(question)

    def times_faster(self, peer: str) -> float | None:
        """Return how much longer a peer takes on long ranges, at the least; None: not here."""
        long = [self.answers[q.name] for q in QUESTIONS if q.range_s >= LONG_S]
        ratios = [one[peer].p50_ms / one[VIGIA].p50_ms for one in long if peer in one]
        return min(ratios, default=None)


def report(measured: Measured) -> None:
    _report_answers(measured)
    print("One series at a step of Vigia's choice; then ten times the range.\n")
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
    present = [name for name in COLUMNS if all(name in one for one in measured.answers.values())]
    rows = []
    for question in QUESTIONS:
        timings = [measured.answers[question.name][name] for name in present]
        row = [f"{t.p50_ms:.2f} / {t.p95_ms:.2f} ({t.repeats})" for t in timings]
        row += [f"{measured.limit_ms(question):.2f}", f"{measured.of_limit(question):.2f}"]
        rows.append([question.name, *row])
    print("p50 / p95 in ms (times asked); the limit is 2 x SQL + 0.7 ms.\n")
    print_table(["question", *present, "limit", "Vigia / limit"], rows)


def summary(measured: Measured) -> dict[str, object]:
    """Return the worst of each figure; `ratio` is the time through HTTP over its limit."""
    ratio = max(measured.of_limit(question) for question in QUESTIONS)
    growth = max(one.ratio for one in measured.growth)
    faster = {peer: measured.times_faster(peer) for peer in TIMES_FASTER}
    is_met = ratio <= 1 and growth < GROWTH_MAX
    is_met = is_met and all(f is None or f >= TIMES_FASTER[peer] for peer, f in faster.items())
    return {
        "ratio": round(ratio, 3),
        "growth": round(growth, 2),
        **{f"faster_than_{p.lower()}": f if f is None else round(f, 2) for p, f in faster.items()},
        "p50_ms": {q.name: round(measured.answers[q.name][VIGIA].p50_ms, 2) for q in QUESTIONS},
        "is_met": is_met,
    }
