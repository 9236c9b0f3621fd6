"""Messages to live clients on a real server: state, events, metrics, and missed events."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from alerts import store as alerts
from api.live import PATHS, SERIES_MAX
from db.queries import Pool
from events import bus
from live.client import Limits
from live.cuts import MESSAGE_VALUES
from model.series import Category, Sample, Series
from model.severity import Level
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.conftest import RESET
from tests.live.stream import (
    ADMIN_KEY,
    BEARER,
    CPU,
    Service,
    close_code,
    message,
    resolved,
    running,
)


@pytest.fixture
async def service(pool: Pool) -> AsyncIterator[Service]:
    async with running(pool, Limits(auth_s=0.3)) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
async def test_client_is_greeted_and_given_the_whole_state(service: Service, path: str) -> None:
    seq = await service.announce(resolved(1), resolved(2))
    await service.writer.store(write_batch_of([Sample(CPU, utc_now(), 12.5)]))
    async with service.pool.connection() as connection:
        await alerts.open_test(
            connection, utc_now(), Level.WARNING, Category.SYSTEM, "server", "Title", "Message"
        )

    ws = await service.http.ws_connect(f"http://127.0.0.1:{service.port}{path}", headers=BEARER)
    found = [await message(ws) for _ in range(4)]

    assert [part["type"] for part in found] == ["hello", "metrics", "health", "alerts"]
    assert [part["seq"] for part in found] == [seq] * 4
    assert found[0]["data"]["seq"] == seq
    assert found[1]["data"]["components"]["server"]["metrics"][CPU.metric]["value"] == 12.5
    assert found[2]["data"] == {"status": None, "components": {}}
    assert found[3]["data"]["snapshot"] is True
    assert [alert["title"] for alert in found[3]["data"]["alerts"]] == ["Title"]


async def test_written_samples_are_pushed_as_the_changed_components(service: Service) -> None:
    disk = Series(metric="disk", component="server", labels=(("mount", "/"),), unit="percent")
    await service.writer.store(write_batch_of([Sample(CPU, utc_now(), 1.0)]))
    ws, _ = await service.listen()

    await service.writer.store(write_batch_of([Sample(disk, utc_now(), 50.0)]))

    found = await message(ws)
    assert found["type"] == "metrics"
    (shown,) = found["data"]["components"]["server"]["metrics"].items()
    assert shown[0] == "disk"
    assert shown[1]["series"][0]["labels"] == {"mount": "/"}


async def test_alert_is_pushed_within_a_second_and_so_is_its_end(service: Service) -> None:
    ws, _ = await service.listen()

    started = time.monotonic()
    raised = await service.post("/dev/test-alert")
    found = await message(ws)
    assert time.monotonic() - started < 1
    assert found["type"] == "alerts"
    assert found["data"] == {"snapshot": False, "alerts": [raised]}
    await service.post(f"/alerts/{raised['id']}/resolve")
    found = await message(ws)

    assert (found["type"], found["data"]["id"]) == ("alert_resolved", raised["id"])
    assert found["data"]["state"] == "resolved"


async def test_transitions_arrive_in_the_order_of_their_commits(service: Service) -> None:
    ws, _ = await service.listen()

    await asyncio.gather(*(service.announce(resolved(n), resolved(n)) for n in range(20)))

    assert [(await message(ws))["seq"] for _ in range(40)] == list(range(1, 41))


async def test_transition_of_another_replica_arrives_without_the_doorbell(
    service: Service,
) -> None:
    ws, _ = await service.listen()

    async with service.pool.connection() as connection, connection.transaction():
        await bus.append(connection, utc_now(), [resolved(7)])

    assert (await message(ws))["data"]["id"] == 7


async def test_the_security_audit_reaches_no_client_neither_live_nor_later(
    service: Service,
) -> None:
    ws, _ = await service.listen()
    secret = {"id": 1, "type": "forbidden", "actor": "ana", "address": "192.0.2.7"}

    await service.announce(("security.forbidden", secret), resolved(7))
    await service.announce(("security.forbidden", secret), resolved(8))
    live = [await message(ws) for _ in range(2)]
    again = await service.connect("?resume=0", **BEARER)
    missed = [await message(again) for _ in range(3)]

    assert [one["data"]["id"] for one in live] == [7, 8]
    assert [one["seq"] for one in live] == [2, 4]
    assert [one["type"] for one in missed] == ["hello", "alert_resolved", "alert_resolved"]


@pytest.mark.parametrize("events_kept", [250, 1024])
async def test_resuming_client_gets_exactly_what_it_missed(pool: Pool, events_kept: int) -> None:
    async with running(pool, Limits(events=events_kept)) as service:
        ws, _ = await service.listen()
        await service.announce(*(resolved(n) for n in range(1, 6)))
        seen = [await message(ws) for _ in range(5)]
        await ws.close()
        await service.announce(*(resolved(n) for n in range(6, 301)))

        ws = await service.connect(f"?resume={seen[-1]['seq']}", **BEARER)
        await service.announce(resolved(301))

        hello = await message(ws)
        assert (hello["type"], hello["seq"], hello["data"]["resumed"]) == ("hello", 5, True)
        assert [(await message(ws))["data"]["id"] for _ in range(296)] == list(range(6, 302))


async def test_resume_in_the_auth_message_replays_too(service: Service) -> None:
    await service.announce(resolved(1), resolved(2))
    ws = await service.connect()

    await ws.send_json({"type": "auth", "token": ADMIN_KEY, "resume": 1})

    assert (await message(ws))["type"] == "hello"
    assert (await message(ws))["seq"] == 2


@pytest.mark.parametrize("resume", [1, 9999])
async def test_resume_that_cannot_be_honoured_gets_lagged_and_the_state(
    service: Service, resume: int
) -> None:
    await service.announce(*(resolved(n) for n in range(5)))
    async with service.pool.connection() as connection:
        await bus.drop_old(connection, utc_now() + timedelta(hours=1))
    async with running(service.pool) as restarted:
        ws = await restarted.connect(f"?resume={resume}", **BEARER)

        found = [await message(ws) for _ in range(5)]

    assert [part["type"] for part in found] == ["hello", "lagged", "metrics", "health", "alerts"]
    assert found[-1]["seq"] == 5
    assert found[0]["data"]["resumed"] is (resume == 1)
    assert found[1]["data"] == {"after": resume}
    # A client keeps the number of the newest message: one that never was must not be in any.
    assert all(part["seq"] <= 5 for part in found)


async def test_state_of_many_series_comes_in_bounded_messages_that_add_up(pool: Pool) -> None:
    count = 2 * MESSAGE_VALUES + 1
    many = [
        Sample(Series(metric="queue", component="broker", labels=(("q", f"{n}"),)), utc_now(), n)
        for n in range(count)
    ]
    async with running(pool) as service:
        await service.writer.store(write_batch_of(many))
        ws = await service.connect(**BEARER)
        found = [await message(ws) for _ in range(6)]
        await service.writer.store(
            write_batch_of([msgspec.structs.replace(many[7], time=utc_now(), value=-1)])
        )
        changes = await message(ws)

    kinds = [part["type"] for part in found]
    assert kinds == ["hello", "metrics", "metrics", "metrics", "health", "alerts"]
    parts = [shown_values(part) for part in found[1:4]]
    assert all(len(part) <= MESSAGE_VALUES for part in parts)
    assert sorted(value for part in parts for value in part) == list(range(count))
    assert shown_values(changes) == [-1]


def shown_values(part: Any) -> list[float]:
    [metric] = [
        metric
        for component in part["data"]["components"].values()
        for metric in component["metrics"].values()
    ]
    return [one["value"] for one in metric["series"]]


async def test_hub_that_forgets_gives_clients_the_whole_state_of_the_new_database(
    service: Service,
) -> None:
    await service.writer.store(write_batch_of([Sample(CPU, utc_now(), 1.0)]))
    await service.announce(*(resolved(n) for n in range(9)))
    ws, _ = await service.listen()
    async with service.pool.connection() as connection:
        await connection.execute(RESET)
        await connection.execute("UPDATE event_counter SET seq = 2")
    service.live.forget()

    found = [await message(ws) for _ in range(4)]

    assert [part["type"] for part in found] == ["lagged", "metrics", "health", "alerts"]
    assert found[1]["data"]["components"] == {}
    assert [part["seq"] for part in found[1:]] == [2, 2, 2]
    assert await service.announce(resolved(1)) == 3
    assert (await message(ws))["seq"] == 3


@pytest.mark.parametrize("resume", ["yesterday", "1&resume=2"])
async def test_malformed_resume_is_said_and_gets_the_state(service: Service, resume: str) -> None:
    ws, found = await service.listen(f"?resume={resume}")

    assert [part["type"] for part in found] == ["hello", "metrics", "health", "alerts"]
    assert "resume" in (await message(ws))["data"]["message"]


async def test_subscription_limits_topics_and_components(service: Service) -> None:
    database = Series(metric="database_latency_ms", component="database")
    await service.writer.store(
        write_batch_of([Sample(CPU, utc_now(), 1.0), Sample(database, utc_now(), 2.0)])
    )
    ws, _ = await service.listen()

    await ws.send_json(
        {"type": "subscribe", "topics": ["metrics", "alerts"], "components": ["database"]}
    )
    state = [await message(ws) for _ in range(2)]
    alert = {"id": 1, "component": "server"}
    await service.announce(
        resolved(1, "database"),
        ("alerts", {"snapshot": False, "alerts": [alert]}),
        ("alerts", {"snapshot": False, "alerts": [alert, {"id": 2, "component": "database"}]}),
        ("health", {"status": "down", "components": {"database": {}}}),
    )

    assert [part["type"] for part in state] == ["metrics", "alerts"]
    assert set(state[0]["data"]["components"]) == {"database"}
    found = await message(ws)
    assert (found["type"], found["seq"]) == ("alerts", 3)
    assert [one["id"] for one in found["data"]["alerts"]] == [2]
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"


async def test_subscription_to_series_limits_values_and_nothing_else(service: Service) -> None:
    many = [
        Series(metric="queue_length", component="shop", labels=(("a", "b"), ("queue", str(number))))
        for number in range(1000)
    ]
    await service.writer.store(write_batch_of([Sample(one, utc_now(), 1.0) for one in many]))
    ws = await service.connect(**BEARER)
    while (await message(ws))["type"] != "alerts":
        pass
    wanted = {"queue": "7", "a": "b"}

    unknown = {"component": "shop", "metric": "queue_length"}
    await ws.send_json({"type": "subscribe", "series": [{**unknown, "labels": wanted}, unknown]})
    state = [await message(ws) for _ in range(3)]
    await service.writer.store(write_batch_of([Sample(one, utc_now(), 2.0) for one in many]))
    changed = await message(ws)
    await service.announce(resolved(1, "another"))

    assert [part["type"] for part in state] == ["metrics", "health", "alerts"]
    for part, value in ((state[0], 1.0), (changed, 2.0)):
        found = part["data"]["components"]["shop"]["metrics"]["queue_length"]["series"]
        assert [(one["labels"], one["value"]) for one in found] == [(wanted, value)]
    assert (await message(ws))["type"] == "alert_resolved"


async def test_unsubscribing_from_a_component_keeps_the_choice_of_series(service: Service) -> None:
    database = Series(metric="database_latency_ms", component="database")
    ws, _ = await service.listen()
    names = [{"component": one.component, "metric": one.metric} for one in (CPU, database)]
    await ws.send_json({"type": "subscribe", "topics": ["metrics"], "series": names[1:]})
    assert (await message(ws))["data"]["components"] == {}
    await ws.send_json({"type": "unsubscribe", "components": ["cache"]})
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"

    await service.writer.store(
        write_batch_of([Sample(CPU, utc_now(), 1.0), Sample(database, utc_now(), 2.0)])
    )

    assert set((await message(ws))["data"]["components"]) == {"database"}


async def test_too_many_series_are_refused_and_change_nothing(service: Service) -> None:
    ws, _ = await service.listen()
    names = [{"component": "shop", "metric": f"m{number}"} for number in range(SERIES_MAX + 1)]

    await ws.send_json({"type": "subscribe", "series": names})

    assert "at most 500 items" in (await message(ws))["data"]["message"]
    await service.writer.store(write_batch_of([Sample(CPU, utc_now(), 1.0)]))
    assert (await message(ws))["type"] == "metrics"


async def test_unsubscribing_takes_away(service: Service) -> None:
    ws, _ = await service.listen()

    await ws.send_json({"type": "unsubscribe", "components": ["server"]})
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"
    await service.announce(resolved(1), resolved(2, "database"))
    assert (await message(ws))["data"]["id"] == 2
    await ws.send_json({"type": "unsubscribe"})
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"
    await service.announce(resolved(3), resolved(4, "database"))
    await ws.send_json({"type": "subscribe", "topics": ["health"]})

    assert (await message(ws))["type"] == "health"


async def test_an_invalid_message_is_answered_with_help(service: Service) -> None:
    ws, _ = await service.listen()
    await ws.send_bytes(b"\x00\xff")
    for text in ["{", "[]", '{"type": "buy"}', '{"type": "subscribe", "topics": ["weather"]}']:
        await ws.send_str(text)
    await ws.send_json({"type": "auth", "token": ADMIN_KEY})
    await ws.send_json({"type": "ping"})

    found = [await message(ws) for _ in range(7)]

    assert [part["type"] for part in found] == ["error"] * 6 + ["pong"]
    assert "binary" in found[0]["data"]["message"]
    assert "subscribe" in found[3]["data"]["message"]


async def test_clients_are_told_when_the_service_ends(pool: Pool) -> None:
    async with running(pool) as service:
        ws, _ = await service.listen()
        ended: Awaitable[int | None] = asyncio.ensure_future(close_code(ws))
        http, service.http = service.http, aiohttp.ClientSession()

    assert await ended == 1012
    await http.close()
