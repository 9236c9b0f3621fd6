"""Actions run outside of the alert's transaction, once; what fails is tried again."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.store import Alert
from audit import log as audit_log
from config.actions import Action, default_actions
from db.queries import Pool
from model.errors import UnavailableError
from model.severity import Level
from model.times import utc_now
from notifications import channel_store
from notifications.actions.run_store import DueRun, RunState
from notifications.actions.runner import LATE_AFTER, TRIES_MAX, TRY_AGAIN_AFTER, Runner
from notifications.actions.webhook import WebhookAction
from notifications.channel_store import Terms
from notifications.outbox import pause
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress, open_egress
from tests.notifications.actions.test_starting import open_alert, runs, set_actions
from tests.notifications.provider import Provider

AFTER = timedelta(minutes=1)
KEYS = SecretKeys(["a" * 32])


class Work:
    """Does what an action says: it fails as often as it is told to."""

    def __init__(self) -> None:
        self.later = AFTER
        self.failures = 0
        self.done: list[int] = []

    async def do(self, _: Action, alert: Alert, __: DueRun) -> str:
        self.done.append(alert.id)
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the disk is full")
        return "well done"

    def runner(self, pool: Pool, lease: UUID | None = None) -> Runner:
        return Runner(
            kind="backup",
            do=self.do,
            pool=pool,
            actions=default_actions,
            lease=lease or uuid4(),
            now=lambda: utc_now() + self.later,
        )


async def state_of(pool: Pool) -> tuple[RunState, int, str]:
    [run] = await runs(pool)
    return run.state, run.attempts, run.result


async def test_it_runs_when_it_is_due_and_says_so_in_the_audit(pool: Pool) -> None:
    work = Work()
    runner, now = work.runner(pool), utc_now()
    alert = await open_alert(pool, Level.CRITICAL, now)
    work.later = timedelta()
    await runner.run(now)
    assert work.done == []

    work.later = AFTER
    await runner.run(now)
    await runner.run(now)
    assert work.done == [alert]
    assert await state_of(pool) == ("done", 1, "well done")
    async with pool.connection() as connection:
        [event] = await audit_log.past(
            connection, audit_log.Type.ACTION_RUN, now - AFTER, now + 2 * AFTER, 2**62, 9
        )
    assert event.detail == f"backup for alert {alert}: done; well done"


async def test_what_fails_is_tried_again_a_few_times(pool: Pool) -> None:
    work = Work()
    work.failures = TRIES_MAX
    runner = work.runner(pool)
    await open_alert(pool, Level.CRITICAL, utc_now())
    states = []
    for _ in range(TRIES_MAX):
        await runner.run(utc_now())
        states.append((await state_of(pool))[0])
        work.later += TRY_AGAIN_AFTER + AFTER

    assert states == ["waiting", "waiting", "failed"]
    assert await state_of(pool) == ("failed", TRIES_MAX, "the disk is full")


async def test_an_action_that_raises_something_unexpected_has_failed_and_the_task_reports_it(
    pool: Pool,
) -> None:
    async def crash(*_: object) -> str:
        raise KeyError("disk")

    work, now = Work(), utc_now()
    runner = work.runner(pool)
    runner.do = crash
    alert = await open_alert(pool, Level.CRITICAL, now)
    with pytest.raises(KeyError):
        await runner.run(now)

    assert await state_of(pool) == ("failed", 1, "KeyError: 'disk'")
    async with pool.connection() as connection:
        [event] = await audit_log.past(
            connection, audit_log.Type.ACTION_RUN, now - AFTER, now + 2 * AFTER, 2**62, 9
        )
    assert event.detail == f"backup for alert {alert}: failed; KeyError: 'disk'"
    runner.do = work.do
    await runner.run(now)
    assert work.done == []


async def test_a_run_that_is_cut_off_is_done_again_in_the_next_slot(pool: Pool) -> None:
    async def hang(*_: object) -> str:
        await asyncio.sleep(3600)
        return ""

    work = Work()
    runner = work.runner(pool)
    runner.do = hang
    alert = await open_alert(pool, Level.CRITICAL, utc_now())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await runner.run(utc_now())
    assert (await state_of(pool))[0] == "running"

    runner.do = work.do
    await runner.run(utc_now())
    assert work.done == [alert]
    assert (await state_of(pool))[:2] == ("done", 2)


async def test_nothing_runs_while_notifications_are_paused_and_what_is_late_is_skipped(
    pool: Pool,
) -> None:
    work = Work()
    runner = work.runner(pool)
    await open_alert(pool, Level.CRITICAL, utc_now())
    async with pool.connection() as connection:
        await pause.pause(connection, utc_now(), "ann", "")
        await runner.run(utc_now())
        assert (await state_of(pool))[0] == "waiting"
        await pause.resume(connection, utc_now(), "ann")
    work.later = LATE_AFTER + AFTER
    await runner.run(utc_now())

    assert work.done == []
    assert (await state_of(pool))[0] == "skipped"


async def test_an_action_that_was_removed_is_skipped(pool: Pool) -> None:
    work = Work()
    runner = work.runner(pool)
    await open_alert(pool, Level.CRITICAL, utc_now())
    runner.actions = tuple
    await runner.run(utc_now())

    assert (await state_of(pool))[::2] == ("skipped", "the action no longer exists")


async def test_what_a_dead_process_was_at_is_done_again_after_its_restart(pool: Pool) -> None:
    class Killed(BaseException):
        pass

    async def die(*_: object) -> str:
        raise Killed

    work, lease = Work(), uuid4()
    dying = work.runner(pool, lease)
    dying.do = die
    alert = await open_alert(pool, Level.CRITICAL, utc_now())
    with pytest.raises(Killed):
        await dying.run(utc_now())
    await work.runner(pool).run(utc_now())
    assert work.done == []
    await work.runner(pool, lease).run(utc_now())

    assert work.done == [alert]
    assert (await state_of(pool))[:2] == ("done", 2)


HOOK = Action(name="restart", kind="webhook", channel="hook")


async def make_channel(pool: Pool, url: str, **terms: Any) -> None:
    wanted = Terms(**{"name": "hook", "type": "webhook", "url": url, **terms})
    async with pool.connection() as connection:
        await channel_store.insert(connection, KEYS, wanted, utc_now(), "test")


def webhooks(pool: Pool, egress: Egress, later: Callable[[], timedelta] = lambda: AFTER) -> Runner:
    return Runner(
        kind="webhook",
        do=WebhookAction(pool=pool, keys=KEYS, egress=egress, now=utc_now).do,
        pool=pool,
        actions=lambda: (HOOK,),
        lease=uuid4(),
        now=lambda: utc_now() + later(),
    )


async def open_for_hook(pool: Pool) -> int:
    await set_actions(pool, {"name": HOOK.name, "kind": HOOK.kind, "channel": HOOK.channel})
    return await open_alert(pool, Level.CRITICAL, utc_now())


async def test_a_webhook_gets_the_whole_alert_with_one_key_for_all_tries(
    pool: Pool, egress: Egress, provider: Provider
) -> None:
    await make_channel(pool, f"{provider.url}/restart")
    alert = await open_for_hook(pool)
    waited = [AFTER]
    runner = webhooks(pool, egress, lambda: waited[0])
    provider.status = 503
    await runner.run(utc_now())
    provider.status = 200
    waited[0] += TRY_AGAIN_AFTER
    await runner.run(utc_now())

    assert await state_of(pool) == ("done", 2, "answered 200")
    keys = {request.headers["Idempotency-Key"] for request in provider.requests}
    assert (len(keys), len(provider.requests)) == (1, 2)
    assert f'"id":{alert},'.encode() in provider.requests[0].body
    assert "X-Vigia-Signature" not in provider.requests[0].headers


async def test_a_webhook_is_signed_as_the_messages_of_its_channel_also_while_that_is_off(
    pool: Pool, egress: Egress, provider: Provider
) -> None:
    await make_channel(pool, provider.url, secret="whsec", enabled=False)
    await open_for_hook(pool)
    await webhooks(pool, egress).run(utc_now())

    [request] = provider.requests
    given = request.headers["X-Vigia-Signature"]
    sent_at = int(given.split(",")[1].removeprefix("t="))
    digest = hmac.new(b"whsec", f"{sent_at}.".encode() + request.body, hashlib.sha256)
    assert given == f"v1,t={sent_at},s={digest.hexdigest()}"
    assert abs(sent_at - utc_now().timestamp()) < 60


async def test_a_webhook_to_a_private_address_is_refused(pool: Pool, provider: Provider) -> None:
    await make_channel(pool, provider.url)
    await open_for_hook(pool)
    async with open_egress() as guarded:
        await webhooks(pool, guarded).run(utc_now())

    state, _, result = await state_of(pool)
    assert (state, provider.requests) == ("failed", [])
    assert "VIGIA_EGRESS_ALLOW" in result


async def test_a_webhook_whose_channel_is_not_there_says_so(pool: Pool, egress: Egress) -> None:
    await open_for_hook(pool)
    await webhooks(pool, egress).run(utc_now())

    state, _, result = await state_of(pool)
    assert (state, "there is no channel 'hook'" in result) == ("waiting", True)
