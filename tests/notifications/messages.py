"""Messages to send in tests: one alert that opens, resolves, or comes with others."""

from datetime import UTC, datetime
from typing import Any

from model.severity import Level
from notifications.message import Event, Kind, Links, Message

NOW = datetime(2026, 3, 1, 3, 0, 30, tzinfo=UTC)
ALERT: dict[str, Any] = {
    "id": 41,
    "rule": "cpu-high",
    "level": "critical",
    "category": "server",
    "component": "server",
    "labels": {"host": "web-1"},
    "title": "CPU high on web-1",
    "message": "CPU at 97.7 % (limit 80 %), average of 1 min",
    "value": 97.72,
    "threshold": 80.0,
    "state": "firing",
    "opened_at": "2026-03-01T03:00:00Z",
    "acknowledged_at": None,
    "acknowledged_by": None,
    "resolved_at": None,
    "resolved_by": None,
}


def message(event: Event = Event.OPENED, **changed: Any) -> Message:
    """Return a message about one alert; `changed` replaces fields."""
    fields: dict[str, Any] = {
        "key": "alert-41-opened-1",
        "kind": Kind.ALERT,
        "event": event,
        "time": NOW,
        "title": "[critical] CPU high on web-1",
        "text": "CPU at 97.7 % (limit 80 %), average of 1 min\nSince 03:00 UTC",
        "level": Level.CRITICAL,
        "facts": (("Component", "server"), ("host", "web-1")),
        "alerts": (ALERT,),
        "links": Links(
            alert="https://vigia.example/alerts/41", acknowledge="https://vigia.example/l/abc"
        ),
        "thread": "alert-41",
    }
    return Message(**(fields | changed))
