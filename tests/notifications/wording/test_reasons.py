"""The reasons that the evaluation writes are known here, and said in each language."""

from pathlib import Path

import pytest

from alerts.evaluation.evaluator import AUTO
from model.severity import Level
from notifications.message import Event
from notifications.wording import values
from notifications.wording.compose import compose
from notifications.wording.reasons import REASONS
from tests.notifications.wording.situations import ENGLISH, PORTUGUESE, alert, situation, step

ROOT = Path(__file__).parents[3]


def test_the_evaluation_writes_each_reason_in_these_words() -> None:
    sources = [*(ROOT / "alerts").rglob("*.py"), *(ROOT / "alerts").rglob("*.sql")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    quotes = "\"'"
    missing = [reason for reason in REASONS if not any(f"{q}{reason}{q}" in text for q in quotes)]
    assert missing == []
    assert values.AUTO == AUTO


@pytest.mark.parametrize(
    ("event", "reason", "english", "portuguese"),
    [
        (Event.OPENED, "no data", "No data of CPU", "Sem dados de CPU"),
        (
            Event.OPENED,
            "the rule cannot be evaluated",
            "The rule cannot be evaluated",
            "A regra não pode ser avaliada",
        ),
        (
            Event.OPENED,
            "it flaps",
            "It opened and resolved several times, it flaps",
            "Abriu e foi resolvido várias vezes, está oscilando",
        ),
        (
            Event.RESOLVED,
            "the rule no longer looks at it",
            "The rule no longer covers it",
            "A regra não se aplica mais",
        ),
        (
            Event.RESOLVED,
            "no longer watched",
            "It is no longer watched",
            "Não é mais monitorado",
        ),
        (Event.RESOLVED, "the rule was deleted", "The rule was deleted", "A regra foi excluída"),
    ],
)
def test_a_reason_is_a_line_of_its_own(
    event: Event, reason: str, english: str, portuguese: str
) -> None:
    end = {"resolved_at": "2026-03-01T03:12:00Z", "resolved_by": "auto"}
    of = alert(events=[step(event, 12, comment=reason)], **(end if event is Event.RESOLVED else {}))
    assert english in compose(situation(event, of), ENGLISH).text.split("\n")
    assert portuguese in compose(situation(event, of), PORTUGUESE).text.split("\n")


def test_without_data_no_old_value_is_shown() -> None:
    of = alert(events=[step("opened", 0, comment="no data")])
    message = compose(situation(Event.OPENED, of), ENGLISH)
    assert "97.7" not in message.text
    assert "Value" not in dict(message.facts)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_fits_behind_the_change_of_the_level(reason: str) -> None:
    of = alert(events=[step("escalated", 5, comment=reason)])
    changed = situation(Event.ESCALATED, of, previous_level=Level.WARNING)
    first = compose(changed, PORTUGUESE).text.split("\n")[0]
    assert first.startswith("Passou de aviso a crítico: ")
    assert reason not in first
