"""Situations to put into words: one alert on CPU in each moment of its life, and storms."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from notifications.message import Event, Language
from notifications.wording.last_hour import LastHour
from notifications.wording.situation import Measure, Reader, Situation

NOW = datetime(2026, 3, 1, 3, 12, tzinfo=UTC)
CPU = Measure(metric="server_cpu_percent", unit="percent", category="system")
ENGLISH = Reader(zone=ZoneInfo("Europe/Berlin"))
PORTUGUESE = Reader(language=Language.BRAZILIAN_PORTUGUESE, zone=ZoneInfo("America/Sao_Paulo"))
HOUR = LastHour(
    start=NOW - timedelta(hours=1),
    step_s=60,
    values=[20 + n / 2 for n in range(40)] + [None] * 4 + [97.72 - n for n in range(16, 0, -1)],
)


def step(kind: str, minute: int, actor: str = "auto", comment: str = "") -> dict[str, Any]:
    return {
        "time": f"2026-03-01T03:{minute:02}:00Z",
        "type": kind,
        "level": "critical",
        "value": 97.72,
        "threshold": 80.0,
        "actor": actor,
        "comment": comment,
    }


def alert(**changed: Any) -> dict[str, Any]:
    """Return an alert as `GET /alerts/{id}` shows it; `changed` replaces fields."""
    fields: dict[str, Any] = {
        "id": 41,
        "rule": "cpu",
        "level": "critical",
        "category": "system",
        "component": "server",
        "labels": {"host": "web-1"},
        "title": "server: cpu",
        "message": "avg of server_cpu_percent is 97.72 percent, above 80 percent",
        "value": 97.72,
        "threshold": 80.0,
        "state": "firing",
        "opened_at": "2026-03-01T03:00:00Z",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "resolved_at": None,
        "resolved_by": None,
        "suppressed_by": [],
        "is_flapping": False,
        "events": [step("opened", 0)],
    }
    return fields | changed


def situation(
    event: Event = Event.OPENED, of: dict[str, Any] | None = None, **more: Any
) -> Situation:
    """Return a situation with one alert; `more` replaces fields of the situation."""
    fields: dict[str, Any] = {
        "event": event,
        "key": f"alert-41-{event}-1",
        "now": NOW,
        "alerts": (of or alert(),),
        "measure": CPU,
    }
    return Situation(**(fields | more))


def storm(count: int) -> list[dict[str, Any]]:
    """Return many alerts: two of a hundred warnings, the first an emergency."""
    levels = ["emergency"] + ["warning" if n % 50 == 1 else "critical" for n in range(1, count)]
    return [
        alert(id=n + 1, level=level, title=f"shard-{n}: disk", component=f"shard-{n}")
        for n, level in enumerate(levels)
    ]
