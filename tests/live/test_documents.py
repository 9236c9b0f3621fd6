"""Documents contain known values, and never forgotten ones."""

import asyncio
from datetime import UTC, datetime
from itertools import count

import msgspec

from live.documents import Document, Documents
from live.newest import Newest
from model.series import Sample, Series

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sample(component: str) -> Sample:
    return Sample(Series(metric="value", component=component), NOW, 1.0)


def components(document: Document) -> list[str]:
    return sorted(msgspec.json.decode(document.body)["components"])


async def test_a_document_that_is_made_of_values_that_are_forgotten_meanwhile_is_made_again() -> (
    None
):
    newest, seconds = Newest(), count()
    documents = Documents(newest, clock=lambda: float(next(seconds)))
    newest.put([sample("before"), sample("old")])
    making = asyncio.create_task(documents.metrics())
    await asyncio.sleep(0)
    newest.forget()
    documents.forget()
    newest.put([sample("after")])

    assert components(await making) == ["after"]
    assert components(await documents.metrics()) == ["after"]
