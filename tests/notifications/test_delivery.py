"""A channel's settings are read as its type says, or the channel is at fault."""

import pytest
from msgspec import Struct

from notifications.delivery import Channel, PermanentError, settings_of


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    topic: str


def channel(**settings: object) -> Channel:
    return Channel(id=1, name="ops", type="any", settings=settings)


def test_settings_are_those_of_the_type() -> None:
    assert settings_of(channel(topic="alerts"), Settings) == Settings("alerts")


@pytest.mark.parametrize("settings", [{}, {"topic": 3}, {"topic": "alerts", "else": 1}])
def test_wrong_settings_need_someone_to_mend_them(settings: dict[str, object]) -> None:
    with pytest.raises(PermanentError, match="the channel's settings are wrong"):
        settings_of(channel(**settings), Settings)
