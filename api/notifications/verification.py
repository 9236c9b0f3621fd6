"""Verification of addresses: a code is sent to each, and entered here."""

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

NOTHING = {409: documented("Nothing is to be verified, or a code was just sent.")}


class VerificationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which addresses get a code: those of a channel, or all that are not verified."""

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
    summary="Send a code to the addresses of a contact that are not verified",
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
    # Behind the transaction, which counts the wrong code.
    if verified is None:
        raise InvalidError(
            "code: it is wrong or no longer good; after 5 wrong ones or 15 minutes, send another "
            f"with POST {CONTACTS}/{name}/verify"
        )
    return verified


ROUTES = (verify, confirm)
