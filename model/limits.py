"""The limits that several parts hold, each defined once.

A limit that one module alone needs stands in that module. docs/reference/limits.md lists
those that users meet.
"""

from datetime import timedelta

NAME_CHARS_MAX = 128
"""Of a metric or a component."""
TEXT_CHARS_MAX = 250
"""Of a text in one line that a person writes: a title, the value of a label."""
LINES_CHARS_MAX = 2000
"""Of a text in several lines that a person writes, such as a comment."""

LABELS_MAX = 30
LABEL_NAME_BYTES_MAX = 128
LABEL_VALUE_BYTES_MAX = 1024
IDENTITY_BYTES_MAX = 2000
"""Of a series' component and labels together. Indexes hold both, and PostgreSQL refuses an entry of
more than 2,704 bytes: the metric's name and the lengths of all texts need the rest."""
UNIT_CHARS_MAX = 32

VALUE_MAX = 1e140
"""A sum of larger squares could be beyond what a double holds, and then no roll-up is made."""
VALUE_MIN = 1e-200
"""What is closer to zero is stored as zero: PostgreSQL refuses to divide it by a count, and one
such sum would stop the evaluation of every rule."""

FUTURE_MAX = timedelta(minutes=10)
"""How far ahead of the clock a sample may be. A newest sample beyond it is of a wrong clock."""
LATE_MARGIN = timedelta(days=2)
"""A sample is accepted until so long before it would be dropped: the next maintenance must still
find it to roll it up."""
REMOVAL_GRACE = timedelta(seconds=30)
"""How long samples of a component that was removed are ignored: it was just being asked."""
SET_BACK_MAX = timedelta(hours=1)
"""A clock that was set back by less is waited for, so that nothing is done twice; one that was set
back by more is believed."""
EPOCH_S_MAX = 2**33
"""Nothing is asked for beyond the year 2242; it keeps all arithmetic far from its limits."""
DURATION_S_MAX = 100 * 365 * 86400

COLLECT_S, COLLECT_S_MIN, COLLECT_S_MAX = 15, 1, 3600
"""How often is collected, unless somebody says otherwise; and within which bounds."""
COLLECT_TIMEOUT_S_MAX = 10.0
"""Of a collector's run, and of a target or a SQL file that is asked in it."""

REQUEST_SAMPLES_MAX = 50_000
REQUEST_SERIES_MAX = 10_000
NEW_SERIES_A_MINUTE_MAX = 5000
"""That one key may bring."""
