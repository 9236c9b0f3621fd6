"""Ingest keys are accepted in an outage only if they were confirmed shortly before it."""

import pytest

from accounts.tokens import hash_of
from api.accounts.believed import BELIEVED_MAX, BELIEVED_S, CONFIRMED_S, Believed
from model.principal import Principal, Role

SENDER = Principal("host", Role.INGEST)


@pytest.mark.parametrize(
    ("now", "away_since", "is_believed"),
    [
        (10.0, 10.0, True),
        (3500.0, 10.0, True),
        (3500.0, CONFIRMED_S, True),
        (3500.0, CONFIRMED_S + 0.1, False),
        (BELIEVED_S - 0.1, 5.0, True),
        (BELIEVED_S, 5.0, False),
    ],
)
def test_a_key_is_believed_that_was_confirmed_shortly_before_the_outage(
    now: float, away_since: float, is_believed: bool
) -> None:
    believed = Believed()
    believed.put("key", SENDER, 0.0)

    assert believed.get("key", now, away_since) == (SENDER if is_believed else None)


def test_confirmation_keeps_what_is_valid_and_forgets_the_rest() -> None:
    believed = Believed()
    for key in ("a", "b"):
        believed.put(key, SENDER, 0.0)

    believed.confirm(believed.all(), {hash_of("a")}, 20.0)

    assert believed.get("a", 40.0, 20.0 + CONFIRMED_S) == SENDER
    assert list(believed.all()) == [hash_of("a")]


def test_confirmation_leaves_what_was_found_anew_meanwhile() -> None:
    believed = Believed()
    for key in ("a", "b"):
        believed.put(key, SENDER, 0.0)
    asked = believed.all()
    believed.put("a", SENDER, 1.0)
    believed.forget("b")

    believed.confirm(asked, {hash_of("b")}, 20.0)

    assert {key: one.confirmed_at for key, one in believed.all().items()} == {hash_of("a"): 1.0}


def test_the_key_that_was_found_first_leaves_when_there_are_too_many() -> None:
    believed = Believed()
    for number in range(BELIEVED_MAX + 1):
        believed.put(str(number), SENDER, 0.0)

    assert len(believed.all()) == BELIEVED_MAX
    assert hash_of("0") not in believed.all()
