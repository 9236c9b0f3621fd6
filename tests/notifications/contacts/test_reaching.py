"""Where a message to a person goes, by which channel, and when."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from model.errors import InvalidError
from model.severity import Level
from notifications.contacts import contact_store, reaching
from notifications.contacts.contact import Address, Contact
from notifications.contacts.reaching import Notification, Order
from notifications.message import Event, Kind
from notifications.oncall.rotation import ActiveHours
from notifications.outbox.composing import find_channel
from notifications.push.vapid import make_key_pair
from tests.notifications.mail_server import open_mail_server
from tests.notifications.outbox.telling import Telling
from tests.notifications.push.browsers import Browser

NIGHT = ActiveHours(start="22:00", end="07:00")
HANDOVER = {"schedule": "ops", "title": "Ops", "people": ["ana"], "leaving": [], "until": None}


async def contact(telling: Telling, name: str, *places: tuple[str, str], **terms: Any) -> None:
    addresses = [Address(channel=channel, address=address) for channel, address in places]
    wanted = Contact(name=name, addresses=addresses, **terms)
    async with telling.pool.connection() as connection, connection.transaction():
        await contact_store.insert(connection, telling.keys, wanted, telling.now(), "test")


async def verify(telling: Telling, channel: str) -> None:
    async with telling.pool.connection() as connection:
        await connection.execute(
            "UPDATE contact_addresses a SET verified_at = now() FROM channels c"
            " WHERE c.id = a.channel_id AND c.name = %s",
            [channel],
        )


async def notify(
    telling: Telling, *people: str, level: Level | None = None, now: datetime | None = None
) -> list[str]:
    moment = now or telling.now()
    shift = Notification(
        kind=Kind.ON_CALL,
        event=Event.SHIFT_STARTED,
        time=moment,
        payload=HANDOVER | {"at": moment},
    )
    async with telling.pool.connection() as connection, connection.transaction():
        order = Order(key=f"test-{moment.timestamp()}", level=level)
        return await reaching.notify(connection, shift, people, order, moment)


async def test_one_channel_sends_to_the_address_of_each_person(telling: Telling) -> None:
    async with open_mail_server(tls="none") as server:
        settings = {"to": ["ops@example.org"], "from": "vigia@example.org"}
        await telling.channel(
            "mail", f"smtp://127.0.0.1:{server.port}", type="email", settings=settings
        )
        await contact(telling, "ana", ("mail", "ana@example.org"))
        await contact(telling, "bo", ("mail", "bo@example.org"), language="pt-BR")
        assert await notify(telling, "ana", "bo", "nobody") == ["ana", "bo"]
        telling.start()
        await telling.until(sent=2)
        subjects = {one.to[0]: str(one.mail["Subject"]) for one in server.received}

    assert subjects == {
        "ana@example.org": "You are on call: Ops",
        "bo@example.org": "Você está de plantão: Ops",
    }
    assert [len(one.to) for one in server.received] == [1, 1]
    logged = {(one.person, one.address) for one in await telling.deliveries()}
    assert logged == {("ana", "ana@example.org"), ("bo", "bo@example.org")}


@pytest.mark.parametrize(
    ("terms", "address", "expected"),
    [
        (
            {
                "type": "twilio",
                "secret": "token",
                "settings": {
                    "account_sid": "AC" + "0" * 32,
                    "from": "+15017122661",
                    "to": "+15017122662",
                },
            },
            "+5511912345678",
            {"to": "+5511912345678"},
        ),
        (
            {"type": "telegram", "secret": "1:x", "settings": {"chat_id": 1, "topic_id": 2}},
            "-1001234567890",
            {"chat_id": -1001234567890},
        ),
        (
            {"type": "telegram", "secret": "1:x", "settings": {"chat_id": 1}},
            "@vigia_ops",
            {"chat_id": "@vigia_ops"},
        ),
    ],
)
async def test_the_address_takes_the_place_of_the_channel_s_own(
    telling: Telling, terms: dict[str, Any], address: str, expected: dict[str, Any]
) -> None:
    number = await telling.channel("own", "https://api.example.org", **terms)
    found = await find_channel(telling.pool, telling.keys, number, address)

    assert expected.items() <= dict(found.settings).items()
    assert "topic_id" not in found.settings


async def test_a_topic_of_ntfy_is_on_the_channel_s_server(telling: Telling) -> None:
    number = await telling.channel("own", "https://ntfy.example.org/team", type="ntfy")
    found = await find_channel(telling.pool, telling.keys, number, "ana-x7")

    assert found.url == "https://ntfy.example.org/ana-x7"


async def test_a_browser_is_reached_by_its_own_subscription(telling: Telling) -> None:
    first, second = Browser(), Browser()
    terms = {
        "secret": make_key_pair().private,
        "settings": {**first.keys, "subject": "mailto:ops@example.org"},
    }
    number = await telling.channel("push", "https://push.example.org/1", type="webpush", **terms)
    address = json.dumps({"endpoint": "https://push.example.org/2", "keys": second.keys})
    found = await find_channel(telling.pool, telling.keys, number, address)

    assert found.url == "https://push.example.org/2"
    assert found.settings == {**second.keys, "subject": "mailto:ops@example.org"}
    with pytest.raises(InvalidError, match="JSON of its subscription"):
        await find_channel(telling.pool, telling.keys, number, "{}")


async def test_verified_addresses_are_used_and_while_there_is_none_all_of_them(
    telling: Telling,
) -> None:
    await telling.channel("a")
    await telling.channel("b")
    await telling.channel("off", enabled=False)
    await contact(telling, "ana", ("a", ""), ("b", ""), ("off", ""))
    await notify(telling, "ana")
    await verify(telling, "b")
    await notify(telling, "ana")
    # A verified address of a channel that is off is of no use.
    await verify(telling, "off")
    await notify(telling, "ana")

    assert [one.channel for one in await telling.deliveries()] == ["a", "b", "b", "b"]


async def test_nothing_is_written_for_whoever_is_muted_or_has_no_address(telling: Telling) -> None:
    await telling.channel("a")
    await contact(telling, "ana", ("a", ""), mute_until=telling.now() + timedelta(hours=1))
    await contact(telling, "bo")
    assert await notify(telling, "ana", "bo", level=Level.EMERGENCY) == []

    assert await telling.deliveries() == []
    async with telling.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM notifications")
        assert await cursor.fetchone() == (0,)


async def test_in_quiet_hours_a_message_waits_and_a_severe_one_does_not(telling: Telling) -> None:
    night = telling.now().replace(hour=23, minute=30, second=0, microsecond=0)
    await telling.channel("a")
    await contact(telling, "ana", ("a", ""), quiet_hours=[NIGHT])
    await notify(telling, "ana", now=night)
    later = night + timedelta(minutes=1)
    await notify(telling, "ana", level=Level.CRITICAL, now=later)

    waits, goes = await telling.deliveries()
    assert waits.next_at == waits.created_at == night + timedelta(hours=7, minutes=30)
    assert goes.next_at == goes.created_at == later


async def test_the_same_key_writes_one_message(telling: Telling) -> None:
    await telling.channel("a")
    await contact(telling, "ana", ("a", ""))
    now = telling.now()
    await notify(telling, "ana", now=now)
    await notify(telling, "ana", now=now)

    assert len(await telling.deliveries()) == 1


async def test_what_waits_for_an_address_that_is_removed_is_never_sent(telling: Telling) -> None:
    await telling.channel("a")
    await telling.channel("b")
    await contact(telling, "ana", ("a", ""), ("b", ""))
    await notify(telling, "ana")
    left = Contact(name="ana", addresses=[Address(channel="b")])
    async with telling.pool.connection() as connection, connection.transaction():
        await contact_store.update(connection, telling.keys, left, telling.now(), "test")
    telling.start()
    await telling.until(sent=1, failed=1)

    failed = {one.channel: one.last_error for one in await telling.deliveries()}
    assert failed == {"a": "the contact no longer has this address", "b": None}
