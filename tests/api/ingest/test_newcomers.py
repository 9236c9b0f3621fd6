"""New series are rationed by key, and old ones are not."""

from api.ingest import newcomers
from api.ingest.limits import NEW_SERIES_A_MINUTE_MAX
from api.ingest.newcomers import Newcomers


def test_a_bucket_empties_and_fills_again_within_a_minute() -> None:
    now = 100.0
    ration = Newcomers(lambda: now)

    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX
    ration.count("a", NEW_SERIES_A_MINUTE_MAX)
    assert ration.room("a") == 0
    assert ration.room("b") == NEW_SERIES_A_MINUTE_MAX
    now += 30
    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX // 2
    now += 3600
    assert ration.room("a") == NEW_SERIES_A_MINUTE_MAX


def test_many_keys_are_not_remembered_for_ever() -> None:
    ration = Newcomers(lambda: 0.0)
    for number in range(2 * newcomers.KEYS_MAX):
        ration.room(str(number))

    assert len(ration._buckets) == newcomers.KEYS_MAX
