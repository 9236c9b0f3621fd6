"""Counts new events of the audit as samples, which rules evaluate, and puts them on the bus."""

from datetime import datetime

from msgspec import Struct

from audit.log import COMPONENT, Logged, Type, bus_type
from db import queries
from db.queries import Connection
from events import bus
from model.limits import SET_BACK_MAX
from model.series import SECURITY_EVENTS, Category, Sample, Series, labels_of
from samples.insert import insert
from samples.series import SeriesNumbers

_QUERIES = queries.load(__file__)
COUNT = _QUERIES["count"]


class _Counted(Struct, frozen=True):
    type: str
    actor: str
    count: float
    events: list[Logged]


async def count(connection: Connection, at: datetime) -> list[Sample]:
    """Store the number of new events of each type and actor as samples, and return the samples.

    The events are appended to the bus, each as `security.` and its type.

    An actor is a known key or user, so that the keys limit the number of series. Reading, marking
    and storing are one transaction: no event is lost or counted twice, even if the process dies or
    several replicas run the same slot.
    """
    types = [one.value for one in Type]
    async with connection.transaction():
        found = await queries.rows(
            connection, _Counted, COUNT, at=at, types=types, set_back_max=SET_BACK_MAX
        )
        samples = [Sample(_series(one), at, one.count) for one in found]
        await insert(connection, SeriesNumbers(), samples)
        new = sorted((event for one in found for event in one.events), key=lambda event: event.id)
        await bus.append(connection, at, [(bus_type(event.type), event) for event in new])
    return samples


def _series(counted: _Counted) -> Series:
    labels = {"type": counted.type} | ({"actor": counted.actor} if counted.actor else {})
    return Series(
        metric=SECURITY_EVENTS,
        component=COMPONENT,
        category=Category.SECURITY,
        labels=labels_of(labels),
        resolution=1.0,
    )
