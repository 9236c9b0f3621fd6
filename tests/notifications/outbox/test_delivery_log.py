"""The view `delivery_log` has what the delivery log has, for readers, and no address whole."""

from typing import Any

from psycopg.rows import dict_row

from model.severity import Level
from notifications.contacts import contact_store
from notifications.contacts.contact import Address, Contact
from notifications.contacts.reaching import Notification, Order, notify
from notifications.message import Event, Kind
from notifications.outbox.deliveries import State
from tests.notifications.outbox.telling import Telling

SAME = (
    "id", "key", "kind", "event", "channel", "person", "step", "state", "attempts", "created_at",
    "attempted_at", "next_at", "sent_at", "duration_s", "status", "last_error", "group_id",
)  # fmt: skip
LOG = b"SELECT * FROM delivery_log ORDER BY id"


async def read_log(telling: Telling) -> list[dict[str, Any]]:
    """Return the view as a person reads it in psql."""
    async with telling.pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE vigia_reader")
        cursor = connection.cursor(row_factory=dict_row)
        return await (await cursor.execute(LOG)).fetchall()


async def test_it_says_of_each_delivery_what_the_delivery_log_says(telling: Telling) -> None:
    await telling.channel()
    telling.start()
    [told] = await telling.open(Level.CRITICAL)
    await telling.until(sent=1)
    telling.provider.status = 404
    [refused] = await telling.open(Level.CRITICAL)
    await telling.until(sent=1, failed=1)
    found, known = await read_log(telling), await telling.deliveries()

    assert [[one[name] for name in SAME] for one in found] == [
        [getattr(one, name) for name in SAME] for one in known
    ]
    assert [(one["alert_id"], one["state"], one["status"]) for one in found] == [
        (told, State.SENT, 200),
        (refused, State.FAILED, 404),
    ]
    assert all(0 < one["duration_s"] < 20 for one in found)
    assert found[0]["key"] in telling.provider.requests[0].headers["Idempotency-Key"]
    assert "404" in found[1]["last_error"]


async def test_what_was_never_tried_has_no_duration_and_addresses_are_masked(
    telling: Telling,
) -> None:
    await telling.channel(
        "mail",
        "smtp://127.0.0.1:25",
        type="email",
        settings={"to": ["ops@example.org"], "from": "v@example.org"},
    )
    ana = Contact(name="ana", addresses=[Address(channel="mail", address="ana@example.org")])
    now = telling.now()
    shift = Notification(kind=Kind.ON_CALL, event=Event.SHIFT_STARTED, time=now, payload={})
    async with telling.pool.connection() as connection, connection.transaction():
        await contact_store.insert(connection, telling.keys, ana, now, "test")
        await notify(connection, shift, ["ana"], Order(key="shift"), now)
    [one] = await read_log(telling)

    assert (one["person"], one["address"], one["state"]) == ("ana", "a…@example.org", "pending")
    assert (one["kind"], one["event"], one["alert_id"]) == ("on_call", "shift_started", None)
    assert one["duration_s"] is one["attempted_at"] is one["status"] is None
