"""The wanted state of every tier, from the settings. Pure."""

from datetime import timedelta

from db.config import Retention
from db.tiers import Wanted


def plan(retention: Retention) -> list[Wanted]:
    """Return what is wanted of each tier."""
    compress_after = timedelta(days=retention.compress_after_days)
    keep_days = {
        "raw": retention.raw_days,
        "1m": retention.rollup_1m_days,
        "5m": retention.rollup_5m_days,
        "1h": retention.rollup_1h_days,
        "1d": retention.rollup_1d_days,
        "checks": retention.checks_days,
        "uptime_1h": retention.uptime_days,
    }
    return [
        Wanted(name, None if days is None else timedelta(days=days), compress_after)
        for name, days in keep_days.items()
    ]
