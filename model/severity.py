"""The level of an alert, and the status of a component."""

from enum import StrEnum


class Level(StrEnum):
    """How severe an alert is, least severe first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"


class Status(StrEnum):
    """The health of a component, best first."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    DOWN = "down"
