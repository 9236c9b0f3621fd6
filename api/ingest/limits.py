"""How large what is sent may be; every protocol has the same limits."""

SAMPLES_MAX = 50_000
SERIES_MAX = 10_000
LABELS_MAX = 30
LABEL_NAME_BYTES_MAX = 128
LABEL_VALUE_BYTES_MAX = 1024
UNIT_CHARS_MAX = 32
VALUE_MAX = 1e140
"""A sum of larger squares could be beyond what a double holds, and then no roll-up is made."""
NEW_SERIES_A_MINUTE_MAX = 5000
"""That one key may bring."""
