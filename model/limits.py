"""The limits that several packages share, each defined once.

A limit that only one module needs is defined in that module. docs/reference/limits.md lists the
limits that users can reach.
"""

from datetime import timedelta

NAME_CHARS_MAX = 128
"""Length of the name of a metric or a component."""
TEXT_CHARS_MAX = 250
"""Length of a single-line text that a person writes: a title, the value of a label."""
LINES_CHARS_MAX = 2000
"""Length of a multi-line text that a person writes: a comment, for example."""

LABELS_MAX = 30
LABEL_NAME_BYTES_MAX = 128
LABEL_VALUE_BYTES_MAX = 1024
IDENTITY_BYTES_MAX = 2000
"""Length of a series' component and labels together. One index entry holds both, and PostgreSQL
refuses an entry of more than 2,704 bytes. The metric's name and the length words need the rest."""
UNIT_CHARS_MAX = 32

VALUE_MAX = 1e140
"""The roll-ups add up squares. The squares of larger values could overflow a double, and then the
roll-up fails."""
VALUE_MIN = 1e-200
"""A value closer to zero is stored as zero. PostgreSQL raises an underflow error when it divides a
smaller sum by a count, and one such sum would stop the evaluation of every rule."""

FUTURE_MAX = timedelta(minutes=10)
"""How far ahead of the clock a sample may be. A newest sample further ahead comes from a wrong
clock."""
LATE_MARGIN = timedelta(days=2)
"""A sample is refused from this long before retention would drop it. The next maintenance run must
still find it in order to roll it up."""
REMOVAL_GRACE = timedelta(seconds=30)
"""How long samples of a removed component are ignored: a probe may still be in flight."""
SET_BACK_MAX = timedelta(hours=1)
"""When the clock is set back by less than this, tasks wait until it catches up, so that nothing
runs twice. When it is set back by more, tasks follow the new time."""
EPOCH_S_MAX = 2**33
"""Times after the year 2242 are refused. This keeps all time arithmetic far from overflow."""
DURATION_S_MAX = 100 * 365 * 86400

COLLECT_S, COLLECT_S_MIN, COLLECT_S_MAX = 15, 1, 3600
"""The collection interval: its default, and the smallest and largest value of the setting."""
COLLECT_TIMEOUT_S_MAX = 10.0
"""Limit of one collector run, and of each target or SQL file that the run reads."""

REQUEST_SAMPLES_MAX = 50_000
REQUEST_SERIES_MAX = 10_000
NEW_SERIES_A_MINUTE_MAX = 5000
"""How many series that were not known before one key may create."""

PAGE_ITEMS, PAGE_ITEMS_MAX = 100, 1000
"""Items in one page of a list: the default, and the most that a client may ask for."""
