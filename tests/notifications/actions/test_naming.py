"""A webhook action names a channel of type webhook, which stays as long as it is named."""

from typing import Any

import pytest

from config.actions import Action
from db.queries import Pool
from model.errors import ConflictError, InvalidError
from model.times import utc_now
from notifications import channel_store
from notifications.actions.naming import check_channels, check_unnamed
from notifications.channel_store import Terms
from runtime.encryption.secret_keys import SecretKeys
from tests.notifications.actions.test_starting import set_actions

KEYS = SecretKeys(["a" * 32])
TYPES: dict[str, dict[str, Any]] = {
    "hook": {"type": "webhook"},
    "room": {"type": "slack"},
}


@pytest.fixture(autouse=True)
async def _channels(pool: Pool) -> None:
    async with pool.connection() as connection:
        for name, terms in TYPES.items():
            wanted = Terms(name=name, url="https://hooks.slack.com/services/T/B/x", **terms)
            await channel_store.insert(connection, KEYS, wanted, utc_now(), "test")


@pytest.mark.parametrize(
    ("channel", "words"), [("hok", "there is no channel 'hok'"), ("room", "is of type slack")]
)
async def test_an_action_that_names_no_webhook_is_refused(
    pool: Pool, channel: str, words: str
) -> None:
    backup = Action(name="save", kind="backup")
    async with pool.connection() as connection:
        good = Action(name="a", kind="webhook", channel="hook")
        await check_channels(connection, [backup, good])
        bad = Action(name="b", kind="webhook", channel=channel)
        with pytest.raises(InvalidError, match=words):
            await check_channels(connection, [good, bad])


async def test_a_channel_that_an_action_names_is_kept(pool: Pool) -> None:
    await set_actions(pool, {"name": "restart", "kind": "webhook", "channel": "hook"})
    async with pool.connection() as connection, connection.transaction():
        with pytest.raises(ConflictError, match="hook is in the action restart"):
            await check_unnamed(connection, "hook")
        await check_unnamed(connection, "room")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "webhook"}, "a webhook needs a channel"),
        ({"kind": "webhook", "channel": ""}, "a webhook needs a channel"),
        ({"kind": "backup", "channel": "hook"}, "has no channel"),
        ({"kind": "webhook", "url": "https://a.example"}, "url"),
    ],
)
async def test_an_action_that_cannot_work_is_refused(
    pool: Pool, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidError, match=words):
        await set_actions(pool, {"name": "a", **fields})
