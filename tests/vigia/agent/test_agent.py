"""Samples of a host arrive once, whatever fails: the agent, the service, or the network."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from model.errors import UnavailableError
from model.series import Sample, Series
from runtime.network.egress import open_egress
from runtime.settings import Secret
from runtime.spool import QUARANTINE
from tests.collectors.fake_targets import Outside, outside, response
from vigia.agent import sender as sending
from vigia.agent.send_queue import Outbox
from vigia.agent.sender import Sender, retry_after_s

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "vg_a-key-of-the-tests"
JSON = "Content-Type: application/json"
PROBLEM = "Content-Type: application/problem+json"
TAKEN = b'{"accepted": 1, "duplicate": 0, "rejected": 0, "reasons": []}'

Ledger = Counter[tuple[str, str, float]]


class Service:
    """Takes samples as `POST /metrics` does, or answers what it is told to, one after the other."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.heads: list[str] = []
        self.times: list[float] = []
        self.ledger: Ledger = Counter()
        self.values: list[float] = []

    async def act(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.startswith("Content-Len")
        )
        body = await reader.readexactly(length)
        self.heads.append(head)
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else response(200, TAKEN, JSON)
        if b"accepted" in answer:
            self._store(json.loads(gzip.decompress(body)))
        writer.write(answer)
        await writer.drain()

    def _store(self, body: dict[str, Any]) -> None:
        for column in body["series"]:
            labels = json.dumps(column.get("labels", {}), sort_keys=True)
            for moment, value in zip(column["times"], column["values"], strict=True):
                self.ledger[column["metric"], labels, moment] += 1
                self.values.append(value)


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def server(service: Service) -> AsyncIterator[Outside]:
    async with outside(service.act) as opened:
        yield opened


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    opened = Outbox(tmp_path / "spool", 10_000_000)
    yield opened
    await opened.close()


@pytest.fixture
async def sender(
    server: Outside, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sender]:
    monkeypatch.setattr(sending, "BACK_OFF_S", 0.02)
    async with open_egress(["127.0.0.0/8"]) as egress:
        yield Sender(egress, server.url, Secret(KEY), outbox)


def sample(value: float) -> Sample:
    return Sample(Series(metric="load", component="server"), START, value)


async def put(outbox: Outbox, *values: float) -> None:
    """Put each value into a segment of its own."""
    for value in values:
        await outbox.put([sample(value)])
        outbox._spool.segments()


@asynccontextmanager
async def running(sender: Sender) -> AsyncIterator[asyncio.Event]:
    wake = asyncio.Event()
    wake.set()
    task = asyncio.create_task(sender.run(wake))
    try:
        yield wake
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Any, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_request_carries_the_key_and_is_compressed(
    service: Service, sender: Sender, outbox: Outbox
) -> None:
    await put(outbox, 1)
    await sender.send_all()

    [head] = service.heads
    assert head.startswith("POST /api/v1/monitoring/metrics HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}\r\n" in head
    assert "Content-Encoding: gzip\r\n" in head
    assert service.values == [1]
    assert sender.sent == 1
    assert await outbox.take() is None


@pytest.mark.parametrize(
    "answer",
    [
        response(503, b'{"detail": "the database is away"}', PROBLEM),
        response(500),
        response(401, b'{"detail": "send a valid key"}', PROBLEM),
        response(404),
        response(429),
        response(415, b"{}", PROBLEM),
        response(400, b"<html>of some proxy", "Content-Type: text/html"),
        response(200, b"<html>of some portal", "Content-Type: text/html"),
        response(308, b"", "Location: http://127.0.0.1:1/"),
        b"HTTP/1.1 500 nonsense",
    ],
)
async def test_requests_that_are_not_accepted_wait_and_arrive_in_order(
    service: Service, sender: Sender, outbox: Outbox, answer: bytes
) -> None:
    service.answers = [answer, answer]
    await put(outbox, 1, 2, 3)
    with pytest.raises(UnavailableError):
        await sender.send_all()
    service.values.clear()

    async with running(sender):
        await until(lambda: sender.sent == 3)
        assert service.values == [1, 2, 3]
        assert sender.failures == 1


async def test_a_dead_service_is_no_error_of_the_agent(
    service: Service, server: Outside, sender: Sender, outbox: Outbox
) -> None:
    async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    server.act = hang_up
    await put(outbox, 1)
    async with running(sender) as wake:
        await until(lambda: sender.failures >= 3)
        await put(outbox, 2)
        wake.set()
        server.act = service.act
        await until(lambda: sender.sent == 2)

    assert service.values == [1, 2]


async def test_pauses_grow_and_retry_after_is_honoured(
    service: Service, sender: Sender, outbox: Outbox
) -> None:
    service.answers = [response(503)] * 4 + [response(503, b"", "Retry-After: 1")]
    await put(outbox, 1)
    async with running(sender):
        await until(lambda: sender.sent == 1)

    pauses_s = [after - before for before, after in pairwise(service.times)]
    assert pauses_s[3] >= 0.08
    assert pauses_s[4] >= 1.0


@pytest.mark.parametrize(
    ("text", "wanted_s"),
    [
        ("5", 5),
        (" 120 ", 120),
        ("999999999999", 3600),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("Thu, 01 Jan 2026 00:01:00", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(text: str, wanted_s: float) -> None:
    assert retry_after_s({"Retry-After": text}, START) == wanted_s


async def test_a_request_that_is_wrong_is_quarantined_and_the_next_one_sent(
    service: Service, sender: Sender, outbox: Outbox, tmp_path: Path
) -> None:
    service.answers = [response(400, b'{"detail": "metric: must match"}', PROBLEM)]
    await put(outbox, 1, 2)
    await sender.send_all()

    assert service.values == [2]
    assert (sender.sent, sender.rejected) == (1, 1)
    [kept] = (tmp_path / "spool" / QUARANTINE).iterdir()
    assert json.loads(gzip.decompress(kept.read_bytes()))["series"][0]["values"] == [1]


async def test_samples_that_are_rejected_are_counted_and_not_sent_again(
    service: Service, sender: Sender, outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"accepted": 1, "rejected": 1, "reasons": [{"reason": "too old", "count": 1}]}
    service.answers = [response(200, json.dumps(verdict).encode(), JSON)]
    await outbox.put([sample(1), sample(2)])
    await sender.send_all()

    assert (sender.sent, sender.rejected) == (1, 1)
    assert "too old" in "".join(capsys.readouterr())
    assert await outbox.take() is None


def test_an_agent_loads_neither_the_engine_nor_the_api() -> None:
    code = (
        "import sys, vigia.agent.agent, vigia.agent.sender;"
        "print({'litestar', 'api', 'db.engine', 'db.queries'} & set(sys.modules))"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def arguments(url: str, folder: Path, *more: str) -> list[str]:
    given = ["--to", url, "--key", KEY, "--host-label", "web1", "--spool", str(folder)]
    return [*given, "--interval", "1", *more]


async def start(arguments: Sequence[str]) -> Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VIGIA_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vigia", "agent", *arguments, stdout=PIPE, stderr=PIPE, env=clean
    )


async def end(process: Process, number: signal.Signals) -> tuple[int | None, str]:
    process.send_signal(number)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode, (out + err).decode()


def spooled_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.spool"))


async def waiting(folder: Path) -> Ledger:
    """Return what is in a spool that nobody uses."""
    service, box = Service(), Outbox(folder, 10_000_000)
    while (bodies := await box.take()) is not None:
        for body in bodies:
            service._store(json.loads(gzip.decompress(body)))
        # Forgotten here and not on the disk: it is to be sent yet.
        del box._spool._sizes[box._taken]  # type: ignore[arg-type] # it was taken just now
    await box.close()
    return service.ledger


async def test_a_killed_agent_and_a_dead_service_lose_nothing(
    service: Service, server: Outside, tmp_path: Path
) -> None:
    away = response(503, b"", "Retry-After: 0")
    service.answers = [away] * 1000
    first = await start(arguments(server.url, tmp_path))
    sizes: set[int] = set()
    # It grows with each slot.
    await until(lambda: sizes.add(spooled_bytes(tmp_path)) or len(sizes) > 3)
    await end(first, signal.SIGKILL)

    collected = await waiting(tmp_path)
    moments = {moment for metric, _, moment in collected if metric == "server_load1"}
    assert len(moments) >= 2
    assert all(json.loads(labels)["host"] == "web1" for _, labels, _ in collected)

    second = await start(arguments(server.url, tmp_path))
    service.answers.clear()
    await until(lambda: collected.keys() <= service.ledger.keys())
    await until(lambda: len(service.ledger) > len(collected))
    code, said = await end(second, signal.SIGTERM)

    assert code == 0, said
    assert "Traceback" not in said
    assert set(service.ledger.values()) == {1}


async def test_once_sends_what_waits_and_says_when_it_cannot(
    service: Service, server: Outside, tmp_path: Path
) -> None:
    service.answers = [response(503, b'{"detail": "try again soon"}', PROBLEM)]
    failed = await start(arguments(server.url, tmp_path, "--once"))
    out, err = await failed.communicate()
    assert failed.returncode == 1
    assert b"vigia: 503: try again soon" in err, (out, err)

    process = await start(arguments(server.url, tmp_path, "--once"))
    _, err = await process.communicate()
    assert process.returncode == 0, err
    moments = {moment for metric, _, moment in service.ledger if metric == "component_up"}
    assert len(moments) == 2
    metrics = {metric for metric, _, _ in service.ledger}
    assert {"server_cpu_percent", "server_disk_percent", "agent_spool_bytes"} <= metrics
    assert spooled_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--to", "ftp://x"], "--to must be"),
        (["--to", "http://user:secret@x"], "--to must be"),
        (["--key", ""], "the key must be one line"),
        (["--key-file", "/dev/null"], "set either --key"),
        (["--host-label", ""], "--host-label must have"),
        (["--host-label", "a\u202eb"], "--host-label must have"),
        (["--host-label", "\udcff"], "--host-label must have"),
        (["--host-label", "x" * 1025], "--host-label must have"),
        (["--interval", "0"], "--interval"),
    ],
)
async def test_wrong_usage_is_said_in_one_line(
    tmp_path: Path, changes: list[str], said: str
) -> None:
    process = await start(arguments("http://127.0.0.1:1", tmp_path, *changes))
    _, err = await process.communicate()

    assert process.returncode == 2
    assert said in err.decode()
    assert "secret" not in err.decode()
