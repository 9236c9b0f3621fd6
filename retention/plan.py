"""Derives the wanted state of every tier from the settings. It does no I/O."""

from datetime import timedelta

from config.model import Retention
from retention.tiers import Wanted


def plan(retention: Retention) -> list[Wanted]:
    """Return the wanted state of each tier. Tiers of one density have the same retention."""
    compress_after = timedelta(days=retention.compress_after_days)
    keep_days = {
        ("raw", "distributions"): retention.raw_days,
        ("1m",): retention.rollup_1m_days,
        ("5m", "counters_5m", "distributions_5m"): retention.rollup_5m_days,
        ("1h", "counters_1h", "distributions_1h"): retention.rollup_1h_days,
        ("1d", "counters_1d", "distributions_1d"): retention.rollup_1d_days,
        ("checks",): retention.checks_days,
        ("uptime_1h",): retention.uptime_days,
    }
    return [
        Wanted(name, None if days is None else timedelta(days=days), compress_after)
        for names, days in keep_days.items()
        for name in names
    ]
