"""Decides when an address is sent how much: rate limits, groups, and waiting after failures.

Pure.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from notifications.delivery import RateLimit

GROUP_ALERTS_MAX = 2500
"""The most alerts in one group message.

A receiver must be able to read a body in one go, so more alerts are split.
"""
GROUP_WAIT_S = 5.0
"""How long the last message that the limit allows waits for alerts that are committed meanwhile."""
BACKOFF_S_MIN, BACKOFF_S_MAX = 1.0, 300.0
GIVE_UP_AFTER = timedelta(hours=24)


class Plan(Struct, frozen=True):
    """What to send next: `singles` messages one by one, then `grouped` messages as one group.

    If both are 0, send nothing before `wait_until`.
    """

    singles: int = 0
    grouped: int = 0
    wait_until: datetime | None = None


def plan(
    now: datetime, waiting: int, oldest: datetime, attempts: Sequence[datetime], limit: RateLimit
) -> Plan:
    """Return what to send of `waiting` messages, the oldest written at `oldest`.

    `attempts` are the times of the address's tries within twice the period of `limit`.

    1. If the limit is used up, wait until the oldest try that counts is one period old.
    2. If messages had to wait because the limit was used up, send them as one group.
    3. If the limit allows all waiting messages, send each by itself.
    4. Otherwise reserve the last messages of the limit for groups. A group waits `GROUP_WAIT_S`,
       so that later alerts of a storm join it.
    """
    period = timedelta(seconds=limit.period_s)
    tries = sorted(attempts)
    left = limit.messages - sum(time > now - period for time in tries)
    if left <= 0:
        return Plan(wait_until=tries[-limit.messages] + period)
    if waiting > 1 and _was_used_up_since(oldest, tries, limit):
        return Plan(grouped=min(waiting, GROUP_ALERTS_MAX))
    if waiting <= left:
        return Plan(singles=waiting)
    groups = min(-(-waiting // GROUP_ALERTS_MAX), left)
    if left > groups:
        return Plan(singles=left - groups)
    ripe_at = oldest + timedelta(seconds=GROUP_WAIT_S)
    if ripe_at > now:
        return Plan(wait_until=ripe_at)
    return Plan(grouped=min(waiting, GROUP_ALERTS_MAX))


def _was_used_up_since(oldest: datetime, tries: Sequence[datetime], limit: RateLimit) -> bool:
    """Return whether the limit was used up at any time after `oldest`.

    It is used up from the last try that it allows until the first of these tries is one period old.
    """
    if len(tries) < limit.messages:
        return False
    free_at = tries[-limit.messages] + timedelta(seconds=limit.period_s)
    return tries[-1] < free_at and oldest < free_at


def backoff_s(failures: int, retry_after_s: float | None, chance: random.Random) -> float:
    """Return the seconds to wait after so many failures in a row: 1 s to 5 min.

    The wait grows exponentially. Half of it is random, so that addresses that failed together do
    not all retry at the same moment. It is never shorter than the provider's `Retry-After`.
    """
    longest = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** min(failures, 10))
    wait_s = max(BACKOFF_S_MIN, longest * (0.5 + 0.5 * chance.random()))
    return max(wait_s, retry_after_s or 0.0)
