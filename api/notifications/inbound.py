"""Receives replies from providers: `/in/{channel}` needs no key, but a signature."""

from http import HTTPStatus
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.http.context import AppContext
from db.queries import Connection
from model.times import utc_now
from notifications import channel_store
from notifications.channel_store import Stored
from notifications.channels import twilio
from notifications.contacts import contact_store
from notifications.delivery import settings_of
from notifications.replies.acting import Acting
from notifications.replies.twilio import Inbox, UnsignedError

PATH = "/in/{channel:str}"


@post(PATH, status_code=200, include_in_schema=False)
async def receive(
    request: Request[Any, Any, Any], context: NamedDependency[AppContext], channel: FromPath[str]
) -> Response[str]:
    """Act on an SMS that Twilio forwards.

    A wrong signature and an unknown channel get the same answer, so that nobody can find out which
    channels exist.
    """
    async with context.connect() as connection:
        stored = await _find(connection, channel)
        contacts = await contact_store.verified(connection, stored.id) if stored else set()
    if stored is None:
        return _refused()
    try:
        answer = await _inbox(context, stored, contacts).receive(
            await request.body(), request.headers.get("X-Twilio-Signature", ""), utc_now()
        )
    except UnsignedError:
        return _refused()
    return Response(answer, media_type="text/xml")


def _inbox(context: AppContext, stored: Stored, contacts: set[str]) -> Inbox:
    channel = channel_store.opened_by(context.secret_keys, stored)
    acting = Acting(
        pool=context.few_connections,
        keys=context.secret_keys,
        channel_id=stored.id,
        on_transitions=context.on_transitions,
        announce=context.announce,
        now=utc_now,
    )
    settings = settings_of(channel, twilio.TwilioSettings)
    return Inbox(
        token=channel.secret,
        url=f"{context.settings.url}/in/{stored.name}",
        numbers={settings.to} | contacts,
        on_reply=acting.on_reply,
        help_limit=context.help_limit,
        language=stored.language,
    )


async def _find(connection: Connection, name: str) -> Stored | None:
    stored = await channel_store.read_named(connection, name)
    return stored if stored is not None and stored.type == twilio.TYPE.name else None


def _refused() -> Response[str]:
    return Response(
        "not signed by the provider",
        status_code=HTTPStatus.UNAUTHORIZED,
        media_type="text/plain",
    )


ROUTES = (receive,)
