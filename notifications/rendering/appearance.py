"""How a message looks at a glance: a sign and a colour for its level, or for the end of it."""

from msgspec import Struct

from model.severity import Level
from notifications.message import Message


class Appearance(Struct, frozen=True):
    """A sign before the title, and a colour on which white text can be read."""

    sign: str
    color: int
    """0xRRGGBB."""

    @property
    def css(self) -> str:
        """Return the colour as HTML writes it."""
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
    """Return what shows at a glance how bad it is."""
    if message.is_resolved:
        return RESOLVED
    return BY_LEVEL[message.level] if message.level else NEUTRAL
