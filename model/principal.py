"""The authenticated caller, and the roles that each permission includes."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from model.series import Labels


class Role(StrEnum):
    """What a key may do.

    `ingest` only writes samples. `operator` includes `viewer`, and `admin` includes all roles.
    """

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Principal(Struct, frozen=True):
    """The authenticated caller: the name of a key or user, and its role.

    An ingest key may be bound to a component and to labels. Each series that it writes then has
    this component and these labels.
    """

    name: str
    role: Role
    component: str | None = None
    labels: Labels = ()


def holder_of(principal: Principal) -> str:
    """Return the identity that a key shares with the sessions opened with it."""
    # Names alone are not unique: a viewer key may have the same name as the bootstrap admin key.
    return f"{principal.role} {principal.name}"


ALLOWED: Mapping[Role, frozenset[Role]] = {
    Role.INGEST: frozenset({Role.INGEST, Role.ADMIN}),
    Role.VIEWER: frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
}
