"""Messages that a person understands at night, in both languages."""

from datetime import timedelta
from typing import Any

import pytest

from model.severity import Level
from notifications.message import Event, Kind, Links, Message
from notifications.wording.compose import compose
from notifications.wording.situation import (
    Expired,
    Measure,
    Reader,
    Situation,
    StepReached,
)
from tests.notifications.wording.situations import (
    CPU,
    ENGLISH,
    HOUR,
    NOW,
    PORTUGUESE,
    alert,
    situation,
    step,
)

UP = Measure(metric="component_up", category="external")
SILENCE = Measure(metric="host_silent_seconds", agg="last")
ACKNOWLEDGED = {"acknowledged_at": "2026-03-01T03:03:00Z", "acknowledged_by": "ana"}
RESOLVED = {"resolved_at": "2026-03-01T03:12:00Z", "resolved_by": "auto"}
DOWN: dict[str, Any] = {
    "title": "binance is down",
    "component": "binance",
    "labels": {},
    "message": "HTTP 503",
    "value": 0.0,
    "threshold": 0.5,
}
SILENT: dict[str, Any] = {
    "title": "web2 stopped sending",
    "component": "server",
    "labels": {"host": "web2"},
    "message": "no sample since 2026-03-01 02:57:45 UTC; usually one every 15 s",
    "value": 135.0,
    "threshold": 0.0,
}


def said(message: Message) -> str:
    return f"{message.title}\n{message.text}"


@pytest.mark.parametrize(
    ("about", "reader", "expected"),
    [
        (
            situation(),
            ENGLISH,
            (
                "[critical] server: cpu\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(),
            PORTUGUESE,
            (
                "[crítico] server: cpu\n"
                "CPU em 97,7 % (limite 80 %), média de 1 min\n"
                "server, host web-1, desde 00:00 UTC-3"
            ),
        ),
        (
            situation(step=StepReached(2, 3)),
            ENGLISH,
            (
                "[critical, step 2 of 3] server: cpu\n"
                "Step 2 of 3: nobody acknowledged\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(
                Event.ESCALATED,
                alert(events=[step("escalated", 10, comment="nobody acknowledged it")]),
                previous_level=Level.WARNING,
            ),
            ENGLISH,
            (
                "[critical, was warning] server: cpu\n"
                "Raised from warning to critical: nobody acknowledged\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(Event.LOWERED, alert(level="warning"), previous_level=Level.CRITICAL),
            PORTUGUESE,
            (
                "[aviso, antes crítico] server: cpu\n"
                "Baixou de crítico a aviso\n"
                "CPU em 97,7 % (limite 80 %), média de 1 min\n"
                "server, host web-1, desde 00:00 UTC-3"
            ),
        ),
        (
            situation(
                Event.ACKNOWLEDGED,
                alert(**ACKNOWLEDGED, events=[step("acknowledged", 3, "ana", "on\nit")]),
            ),
            ENGLISH,
            (
                "[acknowledged] server: cpu\n"
                "Acknowledged by ana after 3 min\n"
                "ana: on it\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(Event.RESOLVED, alert(value=45.13, **RESOLVED, **ACKNOWLEDGED)),
            ENGLISH,
            (
                "[resolved] server: cpu\n"
                "Back to normal: CPU at 45.1 % (limit 80 %)\n"
                "server, host web-1, lasted 12 min, from 04:00 to 04:12 CET\n"
                "Acknowledged by ana"
            ),
        ),
        (
            situation(
                Event.RESOLVED,
                alert(**RESOLVED | {"resolved_by": "ana"}, events=[step("resolved", 12, "ana")]),
            ),
            PORTUGUESE,
            (
                "[resolvido] server: cpu\n"
                "Resolvido por ana\n"
                "CPU em 97,7 % (limite 80 %), média de 1 min\n"
                "server, host web-1, durou 12 min, de 00:00 a 00:12 UTC-3"
            ),
        ),
        (
            situation(Event.REMINDER, alert(opened_at="2026-02-27T22:00:00Z")),
            ENGLISH,
            (
                "[critical, still firing] server: cpu\n"
                "Still firing after 1 d 5 h\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 27 Feb 23:00 CET"
            ),
        ),
        (
            situation(Event.REMINDER, expired=Expired("ana", 7200)),
            ENGLISH,
            (
                "[critical, still firing] server: cpu\n"
                "The acknowledgement by ana expired after 2 h, and it still fires\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(of=alert(**DOWN), measure=UP),
            PORTUGUESE,
            "[crítico] binance está fora do ar\nHTTP 503\nbinance, desde 00:00 UTC-3",
        ),
        (
            situation(Event.RESOLVED, alert(**DOWN, **RESOLVED), measure=UP),
            ENGLISH,
            (
                "[resolved] binance is down\n"
                "It answers again\n"
                "binance, lasted 12 min, from 04:00 to 04:12 CET"
            ),
        ),
        (
            situation(of=alert(**SILENT), measure=SILENCE),
            PORTUGUESE,
            (
                "[crítico] web2 parou de enviar\n"
                "no sample since 2026-03-01 02:57:45 UTC; usually one every 15 s\n"
                "server, host web2, desde 00:00 UTC-3"
            ),
        ),
        (
            situation(Event.RESOLVED, alert(**SILENT, **RESOLVED), measure=SILENCE),
            ENGLISH,
            (
                "[resolved] web2 stopped sending\n"
                "It sends again\n"
                "server, host web2, lasted 12 min, from 04:00 to 04:12 CET"
            ),
        ),
        (
            situation(
                last_hour=HOUR,
                what_changed=["version of api: 1.4.1 → 1.4.2 at 03:58"],
                runbook="docs/reference/runbook.md#cpu",
            ),
            ENGLISH,
            (
                "[critical] server: cpu\n"
                "CPU at 97.7 % (limit 80 %), average of 1 min\n"
                "server, host web-1, since 04:00 CET\n"
                "Last hour: ▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▃▃▃▃  ▇▇▇▇▇███ (20 % to 96.7 %)\n"
                "What changed:\n"
                "- version of api: 1.4.1 → 1.4.2 at 03:58\n"
                "Runbook: docs/reference/runbook.md#cpu"
            ),
        ),
        (
            situation(measure=None),
            ENGLISH,
            (
                "[critical] server: cpu\n"
                "avg of server_cpu_percent is 97.72 percent, above 80 percent\n"
                "server, host web-1, since 04:00 CET"
            ),
        ),
        (
            situation(Event.TEST, alerts=()),
            PORTUGUESE,
            "Mensagem de teste do Vigia\nEste canal funciona. Nada aconteceu.",
        ),
    ],
)
def test_it_reads_well_aloud(about: Situation, reader: Reader, expected: str) -> None:
    assert said(compose(about, reader)) == expected


@pytest.mark.parametrize(
    ("measure", "value", "limit", "english", "portuguese"),
    [
        (
            Measure(metric="server_disk_percent", unit="percent", kind="change", is_relative=True),
            12.5,
            10.0,
            "Disk changed by 12.5 % (limit 10 %), average of 1 min",
            "Disco mudou 12,5 % (limite 10 %), média de 1 min",
        ),
        (
            Measure(
                metric="http_errors", over="http_requests", kind="ratio", agg="sum", window_s=300
            ),
            0.0512,
            0.05,
            "HTTP errors per HTTP requests at 0.051 (limit 0.05), sum of 5 min",
            "HTTP errors por HTTP requests em 0,051 (limite 0,05), soma de 5 min",
        ),
        (
            Measure(metric="component_availability", kind="burn", window_s=3600),
            20.25,
            14.4,
            "The error budget burns 20.3 times as fast as it may (limit 14.4)",
            "O orçamento de erros é gasto 20,3 vezes mais rápido que o permitido (limite 14,4)",
        ),
        (
            Measure(metric="orders_stuck", kind="sql"),
            12000.0,
            100.0,
            "Orders stuck at 12,000 (limit 100)",
            "Orders stuck em 12.000 (limite 100)",
        ),
        (
            Measure(metric="external_latency_ms", unit="ms", agg="p95", window_s=300),
            1520.0,
            800.0,
            "Latency at 1.52 s (limit 800 ms), 95th percentile of 5 min",
            "Latência em 1,52 s (limite 800 ms), percentil 95 de 5 min",
        ),
        (
            Measure(metric="external_latency_ms", unit="ms", agg="count"),
            3.0,
            4.0,
            "Latency at 3 (limit 4), samples in 1 min",
            "Latência em 3 (limite 4), amostras em 1 min",
        ),
        (
            Measure(metric="server_cpu_percent", unit="percent"),
            80.001,
            80.0,
            "CPU at 80.001 % (limit 80 %), average of 1 min",
            "CPU em 80,001 % (limite 80 %), média de 1 min",
        ),
        (CPU, 97.72, None, "CPU at 97.7 %, average of 1 min", "CPU em 97,7 %, média de 1 min"),
    ],
)
def test_each_kind_of_rule_says_what_it_compares(
    measure: Measure, value: float, limit: float | None, english: str, portuguese: str
) -> None:
    about = situation(of=alert(value=value, threshold=limit), measure=measure)
    assert compose(about, ENGLISH).text.split("\n")[0] == english
    assert compose(about, PORTUGUESE).text.split("\n")[0] == portuguese


def test_a_message_carries_the_alert_and_what_keeps_it_together() -> None:
    whole = alert()
    message = compose(
        situation(of=whole), ENGLISH, Links(alert="https://x.example/alerts/41"), earlier="ref-1"
    )
    assert (message.key, message.kind, message.event) == ("alert-41-opened-1", Kind.ALERT, "opened")
    assert (message.time, message.level, message.thread) == (NOW, Level.CRITICAL, "alert-41")
    assert (message.alerts, message.earlier) == ((whole,), "ref-1")
    assert message.links.alert == "https://x.example/alerts/41"
    assert message.facts == (
        ("Level", "critical"),
        ("Component", "server"),
        ("host", "web-1"),
        ("Value", "97.7 %"),
        ("Limit", "80 %"),
        ("Since", "04:00 CET"),
        ("Rule", "cpu"),
    )


def test_facts_are_in_the_readers_language() -> None:
    message = compose(situation(Event.RESOLVED, alert(**RESOLVED, **ACKNOWLEDGED)), PORTUGUESE)
    assert dict(message.facts) == {
        "Nível": "crítico",
        "Componente": "server",
        "host": "web-1",
        "Valor": "97,7 %",
        "Limite": "80 %",
        "Desde": "00:00 UTC-3",
        "Durou": "12 min",
        "Regra": "cpu",
        "Reconhecido por": "ana",
    }


def test_the_test_of_a_channel_has_no_alert() -> None:
    message = compose(situation(Event.TEST, alerts=()), ENGLISH)
    assert (message.kind, message.level, message.alerts, message.thread) == (
        Kind.TEST,
        None,
        (),
        "",
    )


def test_times_may_be_moments_and_levels_themselves() -> None:
    whole = alert(opened_at=NOW - timedelta(minutes=12), level=Level.CRITICAL)
    assert said(compose(situation(of=whole), ENGLISH)) == said(compose(situation(), ENGLISH))


def test_a_picture_takes_the_place_of_the_blocks() -> None:
    message = compose(situation(last_hour=HOUR), ENGLISH, picture=b"PNG")
    assert message.picture == b"PNG"
    assert "Last hour" not in message.text


def test_who_gets_short_messages_gets_no_blocks() -> None:
    message = compose(situation(last_hour=HOUR), Reader(has_text_chart=False))
    assert message.text.isascii()


def test_the_first_step_says_nothing_of_steps() -> None:
    assert said(compose(situation(step=StepReached(1, 3)), ENGLISH)) == said(
        compose(situation(), ENGLISH)
    )


def test_a_runbook_that_is_an_address_is_a_link() -> None:
    message = compose(situation(runbook="https://wiki.example/cpu"), ENGLISH)
    assert message.links.runbook == "https://wiki.example/cpu"
    assert "Runbook" not in message.text
