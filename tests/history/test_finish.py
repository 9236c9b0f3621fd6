"""A history encoded column by column equals one that msgspec encodes at once."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from history.finish import Compared, History, SeriesHistory, encode

TIMES = st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second, UTC))
TEXTS = st.text(max_size=5)
COLUMNS = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3)
TABLES = st.dictionaries(st.sampled_from(["avg", "count", 'p"99', "é"]), COLUMNS, max_size=3)
SERIES = st.builds(
    SeriesHistory,
    metric=TEXTS,
    component=st.none() | TEXTS,
    labels=st.dictionaries(TEXTS, TEXTS, max_size=2),
    values=TABLES,
    coverage=COLUMNS,
    compare=st.just(UNSET)
    | st.dictionaries(TEXTS, st.builds(Compared, TABLES, TABLES), max_size=2),
)
HISTORIES = st.builds(
    History,
    start=TIMES,
    end=TIMES,
    step_s=st.integers(1, 10**6),
    tier=TEXTS,
    partial_from=st.none() | TIMES,
    time=st.lists(st.integers(0, 2**40), max_size=3),
    series=st.lists(SERIES, max_size=3),
)


@given(HISTORIES)
def test_the_document_encoded_by_columns_equals_one_encoded_at_once(answer: History) -> None:
    assert encode(answer) == msgspec.json.encode(answer)
