"""Routes of resources that people create, replace and remove, by number or by name."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, PathParameter
from msgspec import Meta, Struct

from alerts.store import ID_MAX
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from db.queries import Connection
from model.errors import NotFoundError
from model.principal import Role
from model.times import utc_now

Draft = TypeVar("Draft")
Item = TypeVar("Item")

ReadOnly = Annotated[Any, Meta(description="Read-only: accepted and ignored.")]
"""A field of GET responses that a request may repeat."""


class Change(Struct, frozen=True):
    """The transaction of a change, with its time and the name of its author."""

    context: AppContext
    connection: Connection
    now: datetime
    actor: str


class Resource(Struct, Generic[Draft, Item], frozen=True, kw_only=True):
    """One kind of resource: how it is read and changed. Each method returns a route.

    `changing` lends the transaction of a change and applies its consequences before the commit.
    `insert`, `update` and `remove` write the audit, and raise ConflictError if the state forbids
    the change.
    """

    path: str
    noun: str
    number: str
    """The name of the path parameter, which is a number or, with `by_name`, a name."""
    by_name: bool = False
    tag: str
    role: Role
    """The role needed to change one."""
    reader: Role = Role.VIEWER
    """The role needed to read one."""
    draft: type[Draft]
    item: type[Item]
    read: Callable[[Connection, Any, datetime], Awaitable[Item | None]]
    changing: Callable[[AppContext, str], AbstractAsyncContextManager[Change]]
    insert: Callable[[Change, Draft], Awaitable[int | str]]
    update: Callable[[Change, Item, Draft], Awaitable[None]]
    remove: Callable[[Change, Item], Awaitable[None]]

    def one(self, summary: str) -> HTTPRouteHandler:
        """Return the route that reads one resource."""

        async def one(context: NamedDependency[AppContext], number: FromPath[int]) -> Item:
            async with context.connect() as connection:
                return await self._find(connection, number, utc_now())

        opt = {} if self.reader is Role.VIEWER else {ROLE: self.reader}
        return get(self._one_path, opt=opt, tags=[self.tag], summary=summary)(self._typed(one))

    def create(self, summary: str, **options: Any) -> HTTPRouteHandler:
        """Return the route that creates a resource from a draft."""

        async def create(
            request: KnownRequest, context: NamedDependency[AppContext], data: JSONBody[Draft]
        ) -> Item:
            async with self.changing(context, request.user.name) as change:
                number = await self.insert(change, data)
                return await self._find(change.connection, number, change.now)

        return post(self.path, **self._options(summary, options))(self._typed(create))

    def replace(self, summary: str, **options: Any) -> HTTPRouteHandler:
        """Return the route that replaces a resource by a draft."""

        async def replace(
            request: KnownRequest,
            context: NamedDependency[AppContext],
            number: FromPath[int],
            data: JSONBody[Draft],
        ) -> Item:
            async with self.changing(context, request.user.name) as change:
                before = await self._find(change.connection, number, change.now)
                await self.update(change, before, data)
                return await self._find(change.connection, number, change.now)

        return put(self._one_path, **self._options(summary, options))(self._typed(replace))

    def delete(self, summary: str, name: str = "remove", **options: Any) -> HTTPRouteHandler:
        """Return the route that removes a resource; `name` is its operation in OpenAPI."""

        async def remove(
            request: KnownRequest, context: NamedDependency[AppContext], number: FromPath[int]
        ) -> None:
            async with self.changing(context, request.user.name) as change:
                before = await self._find(change.connection, number, change.now)
                await self.remove(change, before)

        remove.__name__ = name
        return delete(self._one_path, **self._options(summary, options))(self._typed(remove))

    async def _find(self, connection: Connection, number: int | str, now: datetime) -> Item:
        is_possible = isinstance(number, str) or number <= ID_MAX
        found = await self.read(connection, number, now) if is_possible else None
        if found is None:
            shown = number if isinstance(number, int) else repr(number[:100])
            raise NotFoundError(f"there is no {self.noun} {shown}")
        return found

    @property
    def _one_path(self) -> str:
        return f"{self.path}/{{{self.number}:{self._kind.__name__}}}"

    @property
    def _kind(self) -> type[int | str]:
        return str if self.by_name else int

    def _options(self, summary: str, options: dict[str, Any]) -> dict[str, Any]:
        return {"opt": {ROLE: self.role}, "tags": [self.tag], "summary": summary, **options}

    def _typed(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Replace type variables in the handler's annotations by the types of this resource."""
        hints = handler.__annotations__
        types: dict[str, Any] = {"number": Annotated[self._kind, PathParameter(name=self.number)]}
        body: Any = JSONBody
        types["data"] = body[self.draft]
        if hints["return"] is not None:
            types["return"] = self.item
        hints.update({name: types[name] for name in hints.keys() & types.keys()})
        return handler
