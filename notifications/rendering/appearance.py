"""The sign and the colour of a message, which show its level, or that the alert is resolved."""

from msgspec import Struct

from model.severity import Level
from notifications.message import Message


class Appearance(Struct, frozen=True):
    """A sign before the title, and a colour with enough contrast for white text."""

    sign: str
    color: int
    """0xRRGGBB."""

    @property
    def css(self) -> str:
        """Return the colour in CSS notation."""
        return f"#{self.color:06x}"


RESOLVED = Appearance("✅", 0x2E7D32)
NEUTRAL = Appearance("🔔", 0x455A64)
BY_LEVEL = {
    Level.INFO: Appearance("🔵", 0x1565C0),
    Level.WARNING: Appearance("🟠", 0xB54708),
    Level.CRITICAL: Appearance("🔴", 0xC62828),
    Level.EMERGENCY: Appearance("🚨", 0x8E0000),
}


def appearance(message: Message) -> Appearance:
    """Return the sign and the colour of a message."""
    if message.is_resolved:
        return RESOLVED
    return BY_LEVEL[message.level] if message.level else NEUTRAL
