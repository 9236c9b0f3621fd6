"""Subscribed browsers. Each is a channel of its own, named after its endpoint."""

import hashlib
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, structs

from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.severity import Level
from model.text import Text
from notifications import channel_store
from notifications.channel_store import Stored, Terms
from notifications.channels.webpush import PushSubscription
from notifications.message import Language
from notifications.outbox import gone
from notifications.push.encryption import subscription_of
from notifications.push.vapid import service_key_pair
from notifications.routing import policy_store
from runtime.encryption.secret_keys import SecretKeys

TYPE = "webpush"
NAME_CHARS = 12
BROWSERS_MAX = 200
"""The most browsers of one installation: each message is sent to each of them separately."""


class BrowserTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a browser that subscribes."""

    subscription: PushSubscription
    server_key: Annotated[
        str, Meta(max_length=100, description="The public key that the browser subscribed to.")
    ]
    title: Text = ""
    min_level: Level = Level.WARNING
    language: Language = Language.ENGLISH
    tz: Annotated[str, Meta(max_length=100)] = "UTC"


def id_of(endpoint: str) -> str:
    """Return the id of a browser. Only those who know its endpoint can compute it."""
    return hashlib.sha256(endpoint.encode()).hexdigest()


def name_of(browser_id: str) -> str:
    """Return the name of a browser's channel, which every user may see."""
    return f"browser-{browser_id[:NAME_CHARS]}"


def subject_of(url: str) -> str:
    """Return the contact address for push services, derived from the address of Vigia."""
    if url.startswith("https://"):
        return url
    # Push services refuse `http` addresses, so an http installation names a mail address.
    return f"mailto:vigia@{urlsplit(url).hostname or 'localhost'}"


async def subscribe(
    connection: Connection,
    keys: SecretKeys,
    wanted: BrowserTerms,
    subject: str,
    now: datetime,
    actor: str,
) -> Stored:
    """Store a browser, or update one that is stored. Raises InvalidError or ConflictError."""
    pair = service_key_pair(keys)
    if wanted.server_key != pair.public:
        raise ConflictError(
            "the browser subscribed with a key that is not this service's; end its subscription, "
            "then subscribe again with the key of GET /push/key"
        )
    endpoint, given = wanted.subscription.endpoint, wanted.subscription.keys
    try:
        subscription_of(given.p256dh, given.auth)
    except ValueError:
        raise InvalidError(
            "subscription: the keys p256dh and auth are invalid; send the ones of the browser's "
            "PushSubscription"
        ) from None
    terms = Terms(
        name=name_of(id_of(endpoint)),
        type=TYPE,
        url=endpoint,
        secret=pair.private,
        title=wanted.title,
        settings={**structs.asdict(given), "subject": subject},
        min_level=wanted.min_level,
        language=wanted.language,
        tz=wanted.tz,
    )
    before = await channel_store.read_named(connection, terms.name)
    if before is None:
        await _check_room(connection)
        number = await channel_store.insert(connection, keys, terms, now, actor)
        return await channel_store.read(connection, number)
    await channel_store.update(connection, keys, before, terms, now, actor)
    return await channel_store.read(connection, before.id)


async def _check_room(connection: Connection) -> None:
    found = await channel_store.read_all(connection)
    if sum(one.type == TYPE for one in found) >= BROWSERS_MAX:
        raise ConflictError(
            f"{BROWSERS_MAX} browsers are notified already; remove one that is no longer used"
        )


async def find(connection: Connection, keys: SecretKeys, browser_id: str) -> Stored:
    """Return the channel of a browser. Raises NotFoundError."""
    found = await channel_store.read_named(connection, name_of(browser_id))
    if found is None or found.type != TYPE:
        raise NotFoundError("this browser is not notified")
    # The name contains only the beginning of the id, and every user can see it. Compare the whole
    # id, so that only those who know the endpoint get further.
    if id_of(channel_store.opened_by(keys, found).url) != browser_id:
        raise NotFoundError("this browser is not notified")
    return found


async def unsubscribe(connection: Connection, keys: SecretKeys, browser_id: str) -> str:
    """Remove a browser, also from all contacts, and return the name of its channel.

    Raises NotFoundError, or ConflictError if a route or a policy names it.
    """
    found = await find(connection, keys, browser_id)
    if policies := await policy_store.naming(connection, "channel", found.name):
        raise ConflictError(
            f"the policies {', '.join(policies)} notify this browser; remove {found.name} from "
            "them first"
        )
    await gone.drop_addresses(connection, found.id)
    await channel_store.delete(connection, found.id)
    return found.name
