"""How severe an alert is, and how well a component does."""

from enum import StrEnum


class Level(StrEnum):
    """How loud an alert is, least_severe first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"


class Status(StrEnum):
    """How well a component does, best first."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    DOWN = "down"
