"""The WebSocket: nobody is sent anything before it is known who asks, and nothing can crash it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Any

import msgspec
import psycopg
import structlog
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler
from msgspec import Meta, Struct

from api.auth import Authenticator, bearer_of
from api.door import AUTHENTICATES
from api.feed import INVALID, Client, Credential, Farewell, refusal_of
from api.live import Live
from api.messages import Subscription, Topic
from db.keys import hash_of
from db.security import Type
from vigia.model import InvalidError, UnavailableError

log = structlog.get_logger()

PATHS = ["/", "/api/v1/monitoring/ws"]
CLOSE_TIMEOUT_S = 2.0
ERRORS_MAX = 50
"""After so many messages that could not be understood the connection is closed."""
REASON_BYTES_MAX = 120
"""What fits into a close frame."""
DETAIL_CHARS_MAX = 300
COMPONENTS_MAX = 200
HELP = "send one JSON text of type subscribe, unsubscribe or ping"

FOREIGN = Farewell(4401, "the Origin is not this service's; use its own pages, or a key")
NOBODY = Farewell(4401, "no auth message came in time")
FULL = Farewell(1013, "too many clients; try again later")
AWAY = Farewell(1013, "the database does not answer now; try again soon")
TIRING = Farewell(1008, "too many messages that could not be understood")
BUG = Farewell(1011, "something went wrong inside; the service's log says what")

Socket = WebSocket[Any, Any, Any]
Names = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=COMPONENTS_MAX)]
Topics = Annotated[list[Topic], Meta(max_length=len(Topic))]
Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class RefusedError(Exception):
    """The connection is not wanted; carries what to say."""

    def __init__(self, farewell: Farewell) -> None:
        super().__init__(farewell.reason)
        self.farewell = farewell


class Auth(Struct, tag="auth", forbid_unknown_fields=True):
    """The first message of a client that showed nothing else."""

    token: str
    resume: Place | None = None


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True):
    """From now on exactly this; a field that is left out limits nothing."""

    topics: Topics | None = None
    components: Names | None = None


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """From now on without this; without any field, nothing at all."""

    topics: Topics | None = None
    components: Names | None = None


class Ping(Struct, tag="ping", forbid_unknown_fields=True):
    """Answered with `pong`."""


Request = Auth | Subscribe | Unsubscribe | Ping


def stream_route(live: Live, auth: Authenticator) -> WebsocketRouteHandler:
    """Return the handler of both addresses."""

    @websocket(PATHS, opt={**AUTHENTICATES})
    async def stream(socket: Socket) -> None:
        # Browsers cannot see why a handshake was refused, but they can read a close frame.
        with suppress(WebSocketDisconnect, OSError):
            await socket.accept()
            if farewell := await _serve(socket, live, auth):
                await _close(socket, farewell)

    return stream


async def _serve(socket: Socket, live: Live, auth: Authenticator) -> Farewell | None:
    """Serve one client to its end and return what is to be said, None where nobody listens."""
    try:
        client = await _authenticate(socket, live, auth)
        if live.is_full:
            return FULL
        with live.joined(client):
            return await _converse(socket, live, client)
    except RefusedError as refusal:
        return refusal.farewell
    except UnavailableError:
        return AWAY


async def _close(socket: Socket, farewell: Farewell) -> None:
    reason = farewell.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    async with asyncio.timeout(CLOSE_TIMEOUT_S):
        await socket.close(farewell.code, reason)


async def _authenticate(socket: Socket, live: Live, auth: Authenticator) -> Client:
    """Return the client once it is known who it is. Raises RefusedError, UnavailableError."""
    headers, error, resume, by_key = socket.headers, "", None, True
    if authorization := headers.get("authorization"):
        credential = _credential_of(auth, bearer_of(authorization) or "")
    elif session := auth.session_of(headers.get("cookie")):
        scheme = socket.scope["scheme"].replace("ws", "http")
        if not auth.is_own_origin(headers.get("origin"), headers.get("host"), scheme):
            auth.refusals.note(Type.FORBIDDEN, socket.scope)
            raise RefusedError(FOREIGN)
        by_key = False
        check = partial(auth.principal_of_cookie, headers.get("cookie"))
        credential = Credential(hash_of(session), check)
    else:
        first = await _first_message(socket, live)
        credential, resume = _credential_of(auth, first.token), first.resume
    principal = await credential.check()
    if refusal := refusal_of(principal):
        if principal is not None:
            auth.refusals.note(Type.FORBIDDEN, socket.scope, principal.name)
        elif by_key:
            auth.refusals.note(Type.KEY_REFUSED, socket.scope)
            await auth.throttle.wait(socket.scope)
        raise RefusedError(refusal)
    if resume is None:
        resume, error = _resume_of(socket.query_params.get("resume"))
    client = Client(credential, resume)
    if error:
        client.reply("error", {"message": error})
    return client


def _credential_of(auth: Authenticator, token: str) -> Credential:
    return Credential(hash_of(token), partial(auth.principal_of_token, token))


def _resume_of(text: str | None) -> tuple[int | None, str]:
    """Return the place a client asks for in the address, and what is wrong with it."""
    try:
        return msgspec.convert(text or None, Place | None, strict=False), ""
    except msgspec.ValidationError as error:
        return None, f"resume: {error}; the whole state is sent instead"


async def _first_message(socket: Socket, live: Live) -> Auth:
    with _stranger(live):
        try:
            async with asyncio.timeout(live.limits.auth_s):
                request = _understand(await _receive(socket))
        except TimeoutError:
            raise RefusedError(NOBODY) from None
        except InvalidError as error:
            raise RefusedError(Farewell(INVALID.code, str(error))) from None
    if not isinstance(request, Auth):
        raise RefusedError(INVALID)
    return request


@contextmanager
def _stranger(live: Live) -> Iterator[None]:
    """Count in somebody who takes a seat but has not said who he is."""
    if live.strangers >= live.limits.strangers:
        raise RefusedError(FULL)
    live.strangers += 1
    try:
        yield
    finally:
        live.strangers -= 1


async def _receive(socket: Socket) -> str | bytes:
    """Return the next message. Raises WebSocketDisconnect when there is none."""
    event = await socket.receive()
    if event["type"] != "websocket.receive":
        raise WebSocketDisconnect(detail="disconnected")
    text = event.get("text")
    return event.get("bytes") or b"" if text is None else text


def _understand(text: str | bytes) -> Request:
    """Raises InvalidError, which says what to send instead."""
    if isinstance(text, bytes):
        raise InvalidError(f"binary messages are not understood; {HELP}")
    try:
        request: Request = msgspec.json.decode(text, type=Request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidError(f"{str(error)[:DETAIL_CHARS_MAX]}; {HELP}") from None
    return request


async def _converse(socket: Socket, live: Live, client: Client) -> Farewell | None:
    """Send and read until either ends or the client is to go."""
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
    return said or next(filter(None, map(_farewell_of, results)), None)


def _farewell_of(result: BaseException | None) -> Farewell | None:
    """Return what to say of how a client's task ended; nothing when the client has gone."""
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
        # A flood of messages must not keep others waiting, nor outrun its own answers.
        await asyncio.sleep(0)


def _obey(client: Client, request: Request) -> None:
    match request:
        case Ping():
            client.reply("pong", {})
        case Subscribe(topics, components):
            chosen = Subscription(
                frozenset(Topic if topics is None else topics),
                None if components is None else frozenset(components),
            )
            client.subscribe(chosen, show=True)
        case Unsubscribe():
            client.subscribe(_without(client.subscription, request), show=False)
        case Auth():
            raise InvalidError(f"you are known already; {HELP}")


def _without(subscription: Subscription, request: Unsubscribe) -> Subscription:
    if request.topics is None and request.components is None:
        return Subscription(topics=frozenset())
    left_out = subscription.without | frozenset(request.components or ())
    if len(left_out) > COMPONENTS_MAX:
        raise InvalidError(f"at most {COMPONENTS_MAX} components can be left out; subscribe anew")
    return Subscription(
        subscription.topics - frozenset(request.topics or ()), subscription.components, left_out
    )
