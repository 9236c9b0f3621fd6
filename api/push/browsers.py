"""Routes of subscribed browsers. Each is a channel that the service's key can send to.

The id of a browser is the SHA-256 of its endpoint, in hex. Only the browser and Vigia know the
endpoint, so nobody else can remove the browser.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from audit import log as audit_log
from db.queries import Connection
from model.principal import Role
from model.text import DIGEST
from model.times import utc_now
from notifications.channel_store import PublicChannel
from notifications.channel_test import ChannelTestResult, send_test
from notifications.push import browsers
from notifications.push.browsers import BrowserTerms
from notifications.push.vapid import service_key_pair

PUSH = f"{BASE}/push"
ONE = f"{PUSH}/browsers/{{browser_id:str}}"
TAG = "channels"
OTHER_KEY = {
    409: documented("The browser subscribed with another key, or there are too many browsers.")
}
USED = {409: documented("A route names the browser.")}

BrowserId = Annotated[
    str, PathParameter(pattern=DIGEST, description="SHA-256 of the endpoint, in hex.")
]


class PushKey(Struct, frozen=True):
    """The key for subscriptions of browsers, the `applicationServerKey`, in base64url."""

    public_key: Annotated[str, Meta(description="65 bytes in base64url.")]


@get(
    f"{PUSH}/key",
    opt={ROLE: Role.OPERATOR},
    tags=[TAG],
    summary="The public key for subscriptions of browsers",
)
async def push_key(context: NamedDependency[AppContext]) -> PushKey:
    return PushKey(service_key_pair(context.secret_keys).public)


@post(
    f"{PUSH}/browsers",
    opt={ROLE: Role.OPERATOR},
    responses=OTHER_KEY,
    tags=[TAG],
    summary="Notify a browser, as a channel of type webpush; repeat it to change its settings",
)
async def subscribe_browser(
    request: KnownRequest, context: NamedDependency[AppContext], data: JSONBody[BrowserTerms]
) -> PublicChannel:
    subject = browsers.subject_of(context.settings.url)
    async with _changing(context) as connection:
        now, actor = utc_now(), request.user.name
        stored = await browsers.subscribe(
            connection, context.secret_keys, data, subject, now, actor
        )
        await _log(connection, actor, f"channel {stored.name}: browser subscribed")
    return stored.shown()


@get(ONE, opt={ROLE: Role.OPERATOR}, tags=[TAG], summary="The channel of a subscribed browser")
async def one_browser(context: NamedDependency[AppContext], browser_id: BrowserId) -> PublicChannel:
    async with context.connect() as connection:
        return (await browsers.find(connection, context.secret_keys, browser_id)).shown()


@post(
    f"{ONE}/test",
    status_code=200,
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.CHANNEL_TEST},
    tags=[TAG],
    summary="Send a test message to a browser now; a browser that has unsubscribed is removed",
)
async def test_browser(
    context: NamedDependency[AppContext], browser_id: BrowserId
) -> ChannelTestResult:
    async with context.connect() as connection:
        found = await browsers.find(connection, context.secret_keys, browser_id)
    return await send_test(
        context.few_connections, context.egress, context.secret_keys, found.id, utc_now()
    )


@delete(
    ONE,
    opt={ROLE: Role.OPERATOR},
    responses=USED,
    tags=[TAG],
    summary="Stop notifying a browser, and remove it from all contacts",
)
async def unsubscribe_browser(
    request: KnownRequest, context: NamedDependency[AppContext], browser_id: BrowserId
) -> None:
    async with _changing(context) as connection:
        name = await browsers.unsubscribe(connection, context.secret_keys, browser_id)
        await _log(connection, request.user.name, f"channel {name}: browser removed")


@asynccontextmanager
async def _changing(context: AppContext) -> AsyncIterator[Connection]:
    async with context.connect() as connection, connection.transaction():
        yield connection


async def _log(connection: Connection, actor: str, detail: str) -> None:
    event = audit_log.Event(utc_now(), audit_log.Type.CHANNEL_CHANGED, actor, detail=detail)
    await audit_log.log(connection, event)


ROUTES = (push_key, subscribe_browser, one_browser, test_browser, unsubscribe_browser)
