"""Who asks, and which roles may do what."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from model.series import Labels


class Role(StrEnum):
    """What a key may do. `ingest` only writes samples; the others each include the one before."""

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Principal(Struct, frozen=True):
    """Who asks: the name of a key or user, and what it may do.

    An ingest key may be bound to a component, and to labels that its series then have.
    """

    name: str
    role: Role
    component: str | None = None
    labels: Labels = ()


def holder_of(principal: Principal) -> str:
    """Return what a key and the sessions opened with it have in common."""
    # A viewer's key may have the name of an admin's, such as that of the bootstrap key.
    return f"{principal.role} {principal.name}"


ALLOWED: Mapping[Role, frozenset[Role]] = {
    Role.INGEST: frozenset({Role.INGEST, Role.ADMIN}),
    Role.VIEWER: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
}
