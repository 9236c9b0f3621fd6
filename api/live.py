"""The WebSocket route. It sends nothing before the client is authenticated."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Any

import msgspec
import psycopg
import structlog
from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from msgspec import UNSET, Meta, Struct
from msgspec.structs import replace

from accounts.tokens import hash_of
from api.accounts.authenticator import Authenticator, bearer_of
from api.http.access import AUTHENTICATES
from api.http.context import AppContext
from api.server.connections import ShareError, asker_of, identify
from audit.log import Type
from live.client import INVALID, Client, CloseReason, Credential, refusal_of
from live.hub import Live
from live.messages import Subscription, Topic
from model.errors import InvalidError, UnavailableError
from model.limits import LABELS_MAX, TEXT_CHARS_MAX
from model.series import labels_of
from model.validation.words import explain

log = structlog.get_logger()

PATHS = ["/", "/api/v1/monitoring/ws"]
CLOSE_TIMEOUT_S = 2.0
ERRORS_MAX = 50
"""After more invalid messages the connection is closed."""
REASON_BYTES_MAX = 120
"""The longest reason that fits into a close frame."""
DETAIL_CHARS_MAX = 300
COMPONENTS_MAX = 200
SERIES_MAX = 500
HELP = "send a JSON text message of type subscribe, unsubscribe or ping"

FOREIGN = CloseReason(4401, "the Origin names another site; use this service's pages or a key")
NOBODY = CloseReason(4401, "no auth message arrived in time")
FULL = CloseReason(1013, "too many clients; try again later")
AWAY = CloseReason(1013, "the database does not answer; try again soon")
TIRING = CloseReason(1008, "too many invalid messages")
BUG = CloseReason(1011, "an internal error occurred; the log of the service has the details")

Socket = WebSocket[Any, Any, Any]
Component = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Components = Annotated[list[Component], Meta(max_length=COMPONENTS_MAX)]
Labels = Annotated[dict[str, str], Meta(max_length=LABELS_MAX)]
Topics = Annotated[list[Topic], Meta(max_length=len(Topic))]
Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class UnwantedConnectionError(Exception):
    """The connection is refused; carries the close reason."""

    def __init__(self, close_reason: CloseReason) -> None:
        super().__init__(close_reason.reason)
        self.close_reason = close_reason


class Auth(Struct, tag="auth", forbid_unknown_fields=True):
    """The first message of a client without an Authorization header or cookie."""

    token: str
    resume: Place | None = None


class OneSeries(Struct, forbid_unknown_fields=True):
    """One series, as `GET /metrics` names it."""

    component: str
    metric: str
    labels: Labels = {}


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True):
    """Replaces the subscription. A field that is left out does not limit it.

    `series` limits the topic `metrics` only.
    """

    topics: Topics | None = None
    components: Components | None = None
    series: Annotated[list[OneSeries], Meta(max_length=SERIES_MAX)] | None = None

    def subscription(self) -> Subscription:
        """Return the subscription in the form of the hub."""
        return Subscription(
            frozenset(Topic if self.topics is None else self.topics),
            None if self.components is None else frozenset(self.components),
            series=None
            if self.series is None
            else frozenset((s.component, s.metric, labels_of(s.labels)) for s in self.series),
        )


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """Removes topics and components from the subscription; without a field, everything."""

    topics: Topics | None = None
    components: Components | None = None


class Ping(Struct, tag="ping", forbid_unknown_fields=True):
    """Requests a `pong`."""


Request = Auth | Subscribe | Unsubscribe | Ping


@websocket(PATHS, opt={**AUTHENTICATES})
async def stream(socket: Socket, context: NamedDependency[AppContext]) -> None:
    # Accept first: browsers cannot read why a handshake was refused, but can read a close frame.
    with suppress(WebSocketDisconnect, OSError):
        await socket.accept()
        if close_reason := await _serve(socket, context.live, context.auth):
            await _close(socket, close_reason)


async def _serve(socket: Socket, live: Live, auth: Authenticator) -> CloseReason | None:
    """Serve one client until it ends; return the close reason, None if the client has gone."""
    try:
        client = await _authenticate(socket, live, auth)
        if reason := live.refusal(client):
            return CloseReason(FULL.code, reason)
        with live.joined(client):
            return await _converse(socket, live, client)
    except UnwantedConnectionError as refusal:
        return refusal.close_reason
    except ShareError as error:
        return CloseReason(FULL.code, str(error))
    except UnavailableError:
        return AWAY


async def _close(socket: Socket, close_reason: CloseReason) -> None:
    reason = close_reason.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    async with asyncio.timeout(CLOSE_TIMEOUT_S):
        await socket.close(close_reason.code, reason)


async def _authenticate(socket: Socket, live: Live, auth: Authenticator) -> Client:
    """Authenticate the client and return it.

    1. Take the credential: the Authorization header, the session cookie (with a check of the
       Origin), or the first message.
    2. Check it in the database. Delay the refusal of an invalid key.
    3. Take the position to resume from, of the first message or of the address.

    Raises UnwantedConnectionError or UnavailableError.
    """
    headers, error, resume, asker = socket.headers, "", None, asker_of(socket.scope)
    if authorization := headers.get("authorization"):
        credential = _credential_of(auth, bearer_of(authorization) or "", asker)
    elif session := auth.session_of(headers.get("cookie")):
        scheme = socket.scope["scheme"].replace("ws", "http")
        if not auth.is_own_origin(headers.get("origin"), headers.get("host"), scheme):
            auth.refusals.note(Type.FORBIDDEN, socket.scope)
            raise UnwantedConnectionError(FOREIGN)
        check = partial(auth.principal_of_cookie, headers.get("cookie"), asker)
        credential = Credential(hash_of(session), check)
    else:
        first = await _first_message(socket, live)
        credential, resume = _credential_of(auth, first.token, asker), first.resume
    principal = await credential.check()
    if refusal := refusal_of(principal):
        if principal is not None:
            auth.refusals.note(Type.FORBIDDEN, socket.scope, principal.name)
        else:
            auth.refusals.note(Type.KEY_REFUSED, socket.scope)
            await auth.throttle.wait(socket.scope)
        raise UnwantedConnectionError(refusal)
    if principal is not None:
        identify(socket.scope, principal)
    if resume is None:
        resume, error = _resume_of(socket.query_params.getall("resume", []))
    client = Client(credential, resume, principal)
    if error:
        client.reply("error", {"message": error})
    return client


def _credential_of(auth: Authenticator, token: str, asker: str) -> Credential:
    return Credential(hash_of(token), partial(auth.principal_of_token, token, asker))


def _resume_of(places: list[str]) -> tuple[int | None, str]:
    """Return the position to resume from in the address, and an error text if it is invalid."""
    if len(places) > 1:
        return None, "resume must be given once; the whole state is sent instead"
    text = places[0] if places else ""
    try:
        return msgspec.convert(text or None, Place | None, strict=False), ""
    except msgspec.ValidationError:
        return None, "resume must be the seq of a message; the whole state is sent instead"


async def _first_message(socket: Socket, live: Live) -> Auth:
    with _unauthenticated(live):
        try:
            async with asyncio.timeout(live.limits.auth_s):
                request = _understand(await _receive(socket))
        except TimeoutError:
            raise UnwantedConnectionError(NOBODY) from None
        except InvalidError as error:
            raise UnwantedConnectionError(CloseReason(INVALID.code, str(error))) from None
    if not isinstance(request, Auth):
        raise UnwantedConnectionError(INVALID)
    return request


@contextmanager
def _unauthenticated(live: Live) -> Iterator[None]:
    """Count an unauthenticated connection. Raises UnwantedConnectionError for too many."""
    if live.unauthenticated >= live.limits.unauthenticated:
        raise UnwantedConnectionError(FULL)
    live.unauthenticated += 1
    try:
        yield
    finally:
        live.unauthenticated -= 1


async def _receive(socket: Socket) -> str | bytes:
    """Return the next message. Raises WebSocketDisconnect at the end of the connection."""
    event = await socket.receive()
    if event["type"] != "websocket.receive":
        raise WebSocketDisconnect(detail="disconnected")
    text = event.get("text")
    return event.get("bytes") or b"" if text is None else text


def _understand(text: str | bytes) -> Request:
    """Return a decoded message. Raises InvalidError, whose text says what to send instead."""
    if isinstance(text, bytes):
        raise InvalidError(f"binary messages are not supported; {HELP}")
    value: object = UNSET
    try:
        value = msgspec.json.decode(text)
        request: Request = msgspec.convert(value, Request)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        words = explain(error, Request, value)
        raise InvalidError(f"{words[:DETAIL_CHARS_MAX]}; {HELP}") from None
    return request


async def _converse(socket: Socket, live: Live, client: Client) -> CloseReason | None:
    """Send and read until either ends or the hub ends the client; return the close reason."""
    sender = asyncio.create_task(_send(socket, live, client), name="websocket sender")
    reader = asyncio.create_task(_read(socket, client), name="websocket reader")
    ends: list[asyncio.Future[Any]] = [sender, reader, client.ended]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sender.cancel()
        reader.cancel()
        results = await asyncio.gather(sender, reader, return_exceptions=True)
        said = client.ended.result() if client.ended.done() else None
        client.ended.cancel()
    return said or next(filter(None, map(_close_reason_of, results)), None)


def _close_reason_of(result: BaseException | None) -> CloseReason | None:
    """Return the close reason for the result of a client's task; None if the client has gone."""
    if isinstance(result, psycopg.Error | TimeoutError | UnavailableError):
        return AWAY
    if result is None or isinstance(result, asyncio.CancelledError | WebSocketDisconnect | OSError):
        return None
    log.error("stream_failed", exc_info=result)
    return BUG


async def _send(socket: Socket, live: Live, client: Client) -> None:
    while True:
        for text in await live.next(client):
            try:
                async with asyncio.timeout(live.limits.send_s):
                    await socket.send_text(text)
            except TimeoutError:
                live.dead += 1
                return


async def _read(socket: Socket, client: Client) -> None:
    errors = 0
    while True:
        try:
            _obey(client, _understand(await _receive(socket)))
        except InvalidError as error:
            errors += 1
            client.reply("error", {"message": str(error)})
        if errors > ERRORS_MAX:
            client.end(TIRING)
        # Yield after each message: a flood must not block the loop, nor delay its own replies.
        await asyncio.sleep(0)


def _obey(client: Client, request: Request) -> None:
    match request:
        case Ping():
            client.reply("pong", {})
        case Subscribe():
            client.subscribe(request.subscription(), show=True)
        case Unsubscribe():
            client.subscribe(_without(client.subscription, request), show=False)
        case Auth():
            raise InvalidError(f"this connection is already authenticated; {HELP}")


def _without(subscription: Subscription, request: Unsubscribe) -> Subscription:
    if request.topics is None and request.components is None:
        return Subscription(topics=frozenset())
    left_out = subscription.without | frozenset(request.components or ())
    if len(left_out) > COMPONENTS_MAX:
        raise InvalidError(
            f"at most {COMPONENTS_MAX} components can be left out; send a new subscribe message"
        )
    topics = subscription.topics - frozenset(request.topics or ())
    return replace(subscription, topics=topics, without=left_out)
