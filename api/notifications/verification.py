"""Routes that verify addresses: one sends a code to each address, the other takes the code."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.pagination import Page
from api.notifications.contacts import CONTACTS, changing, log, require
from model.errors import InvalidError
from model.principal import Role
from model.text import CODE
from notifications.contacts import verification
from notifications.contacts.contact_store import KnownAddress
from notifications.contacts.verification import SentCode

NOTHING = {409: documented("No address needs a code, or one was sent less than a minute ago.")}


class VerificationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The addresses to verify: those of a channel, or by default all unverified ones."""

    channel: Annotated[str, Meta(max_length=100)] | None = None


class CodeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that the person received."""

    code: Annotated[str, Meta(pattern=CODE, description="Six digits.")]


@post(
    f"{CONTACTS}/{{name:str}}/verify",
    status_code=200,
    opt={ROLE: Role.ADMIN},
    responses=NOTHING,
    tags=["on-call"],
    summary="Send a code to the unverified addresses of a contact",
)
async def verify(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    name: FromPath[str],
    data: JSONBody[VerificationBody | None] = None,
) -> Page[SentCode]:
    channel = data.channel if data else None
    async with changing(context, request.user.name) as change:
        await require(change.connection, name)
        sent = await verification.send_codes(change.connection, name, channel, change.now)
        channels = ", ".join(one.channel for one in sent)
        await log(change, f"contact {name}: code sent by {channels}")
    context.announce()
    return Page(sent, None)


@post(
    f"{CONTACTS}/{{name:str}}/confirm",
    status_code=200,
    opt={ROLE: Role.ADMIN},
    tags=["on-call"],
    summary="Verify an address by the code that was sent there",
)
async def confirm(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    name: FromPath[str],
    data: JSONBody[CodeBody],
) -> KnownAddress:
    keys = context.secret_keys.derive(verification.PURPOSE)
    async with changing(context, request.user.name) as change:
        await require(change.connection, name)
        verified = await verification.confirm(change.connection, keys, name, data.code, change.now)
        if verified is not None:
            await log(change, f"contact {name}: address of {verified.channel} verified")
    # Raise after the transaction: an exception inside would roll back the count of wrong codes.
    if verified is None:
        raise InvalidError(
            "code: it is wrong or has expired; after 5 wrong codes or 15 minutes, send another one "
            f"with POST {CONTACTS}/{name}/verify"
        )
    return verified


ROUTES = (verify, confirm)
