"""Samples of an agent stay on disk until they are delivered, in order and within limits."""

import gzip
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from model.errors import ConflictError
from model.series import Kind, Sample, Series, labels_of
from runtime import spool
from vigia.agent import send_queue as outbox
from vigia.agent.send_queue import Outbox, batches, pack, unpack

START = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET_BYTES = 1_000_000
SERIES = Series(
    metric="sent_total",
    component="server",
    labels=labels_of({"host": "web1"}),
    unit="bytes",
    kind=Kind.COUNTER,
    resolution=0.5,
)


def samples(number: int, count: int = 1) -> list[Sample]:
    """Samples that say which request they were in."""
    start = START + timedelta(minutes=number)
    return [Sample(SERIES, start + timedelta(seconds=n), float(number)) for n in range(count)]


def values(bodies: list[bytes] | None) -> list[float]:
    columns = [column for body in bodies or [] for column in unpack(body).series]
    return [value for column in columns for value in column.values]


def segments(folder: Path) -> list[Path]:
    """Return the files that wait, the oldest first."""
    return sorted(folder.glob("*.spool"))


Open = Callable[[int], Outbox]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the outbox of one folder; what a test leaves open is closed."""
    made: list[Outbox] = []

    def open_one(budget_bytes: int = BUDGET_BYTES) -> Outbox:
        made.append(Outbox(tmp_path, budget_bytes))
        return made[-1]

    yield open_one
    for each in made:
        await each.close()


def test_a_request_says_all_of_a_series() -> None:
    [column] = unpack(pack([Sample(SERIES, START, 1.7), Sample(SERIES, START, 2.0)])).series

    assert column.times == [START.timestamp()] * 2
    assert column.values == [1.5, 2.0]
    assert (column.metric, column.component, column.category) == ("sent_total", "server", "system")
    assert (column.labels, column.unit) == ({"host": "web1"}, "bytes")
    assert (column.kind, column.resolution) == ("counter", 0.5)


def test_small_requests_are_put_together_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_SAMPLES_MAX", 5)
    bodies = [pack(samples(number, 2)) for number in range(5)] + [pack(samples(9, 7))]

    put_together = list(batches(bodies))

    assert [unpack(body).samples for body in put_together] == [4, 4, 2, 7]
    assert values(put_together) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] + [9] * 7
    assert all(len(unpack(body).series) == 1 for body in put_together)


async def test_requests_are_taken_in_order_until_they_are_done(opened: Open) -> None:
    box = opened(BUDGET_BYTES)
    assert await box.take() is None
    await box.put(samples(1))
    await box.put(samples(2))

    assert values(await box.take()) == [1, 2]
    await box.put(samples(3))
    assert values(await box.take()) == [1, 2]
    await box.done()
    assert values(await box.take()) == [3]
    await box.done()
    assert await box.take() is None
    assert box.size_bytes == 0


async def test_unfinished_requests_survive_a_restart(tmp_path: Path) -> None:
    box = Outbox(tmp_path, BUDGET_BYTES)
    await box.put(samples(1))
    await box.take()
    await box.put(samples(2))
    await box.close()

    again = Outbox(tmp_path, BUDGET_BYTES)
    assert values(await again.take()) == [1]
    await again.done()
    assert values(await again.take()) == [2]
    await again.close()


async def test_when_it_is_full_the_oldest_goes_and_is_counted(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    size = len(pack(samples(1, 3))) + spool.HEADER.size
    box = opened(3 * size + size // 2)
    for number in range(1, 6):
        await box.put(samples(number, 3))

    assert box.dropped == 6
    assert values(await box.take()) == [3, 3, 3]


async def test_a_segment_being_sent_is_not_dropped(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    box = opened(int(2.5 * (len(pack(samples(1))) + spool.HEADER.size)))
    await box.put(samples(1))
    assert values(await box.take()) == [1]
    await box.put(samples(2))
    await box.put(samples(3))

    assert box.dropped == 1
    await box.done()
    assert values(await box.take()) == [3]


async def test_samples_that_the_disk_refuses_are_counted(opened: Open) -> None:
    box = opened(10)
    await box.put(samples(1, 4))

    assert box.dropped == 4
    assert await box.take() is None
    assert box.size_bytes == 0


async def test_two_agents_do_not_share_a_folder(opened: Open, tmp_path: Path) -> None:
    opened(BUDGET_BYTES)

    with pytest.raises(ConflictError, match="another agent uses"):
        Outbox(tmp_path, BUDGET_BYTES)


@pytest.mark.parametrize(
    "record", [b"nonsense", gzip.compress(b"[]", mtime=0), gzip.compress(b"{", mtime=0)[:-3]]
)
async def test_a_record_of_nobody_holds_nothing_up(
    opened: Open, tmp_path: Path, record: bytes
) -> None:
    box = opened(BUDGET_BYTES)
    box._spool.append([record])
    box._spool.segments()
    await box.put(samples(2))

    assert values(await box.take()) == [2]
    [kept] = (tmp_path / spool.QUARANTINE).iterdir()
    assert record in kept.read_bytes()


@pytest.mark.parametrize("is_sending", [False, True])
async def test_an_unreadable_segment_makes_room_when_the_spool_is_full(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_sending: bool
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    size = len(pack(samples(1))) + spool.HEADER.size
    box = opened(int(3.5 * size))
    if is_sending:
        await box.put(samples(0))
        assert values(await box.take()) == [0]
    box._spool.append([b"nonsense".ljust(size - spool.HEADER.size)])
    with structlog.testing.capture_logs() as logged:
        for number in range(1, 6):
            await box.put(samples(number))

    if is_sending:
        await box.done()
    taken = []
    while (bodies := await box.take()) is not None:
        taken += values(bodies)
        await box.done()
    assert taken == ([4, 5] if is_sending else [3, 4, 5])
    assert box.dropped == 5 - len(taken)
    [reported] = [line for line in logged if line["event"] == "segment_quarantined"]
    assert reported["log_level"] == "error"
    assert box.segments_quarantined == 1
    [kept] = (tmp_path / spool.QUARANTINE).iterdir()
    assert b"nonsense" in kept.read_bytes()


async def test_a_segment_that_cannot_be_quarantined_makes_room_all_the_same(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    size = len(pack(samples(1))) + spool.HEADER.size
    box = opened(int(1.5 * size))
    box._spool.append([b"nonsense".ljust(size - spool.HEADER.size)])
    monkeypatch.setattr(outbox, "QUARANTINE_MAX", 0)

    await box.put(samples(1))

    assert values(await box.take()) == [1]


async def test_a_segment_that_the_disk_does_not_give_back_holds_nothing_up(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    size = len(pack(samples(1))) + spool.HEADER.size
    box = opened(int(3.5 * size))
    for number in (1, 2, 3):
        await box.put(samples(number))
    for path in segments(tmp_path)[:2]:
        path.unlink()
        path.symlink_to(path)

    await box.put(samples(4))

    assert (box.segments_quarantined, box.dropped) == (1, 0)
    assert values(await box.take()) == [3]
    assert (box.segments_quarantined, box.dropped) == (2, 0)
    assert len(list((tmp_path / spool.QUARANTINE).iterdir())) == 2


async def test_few_requests_are_quarantined(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "QUARANTINE_MAX", 2)
    box = opened(BUDGET_BYTES)

    assert [await box.quarantine(b"x") for _ in range(3)] == [True, True, False]
