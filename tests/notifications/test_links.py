"""A link acts once, for a day, and nobody but us makes one."""

import base64
import hashlib
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import NotFoundError
from notifications.links import LinkAction, address, make, read
from tests.notifications.messages import NOW

OLD, NEW = (b"o" * 32,), (b"n" * 32,)
DAY = timedelta(hours=24)


def a_token(now: datetime = NOW) -> str:
    return make(OLD, LinkAction.ACKNOWLEDGE, 41, "ana", now)[0]


def test_a_token_leads_to_what_was_stored_of_it() -> None:
    token, link = make(OLD, LinkAction.RESOLVE, 41, "ana", NOW)

    assert (link.action, link.alert_id, link.person) == (LinkAction.RESOLVE, 41, "ana")
    assert read(OLD, token, NOW).id_hash == link.id_hash
    assert read(OLD, token, NOW).expires_at == link.expires_at == NOW + DAY


def test_a_token_fits_into_an_address_and_a_short_message() -> None:
    link = address("https://vigia.example", a_token())
    assert re.fullmatch(r"https://vigia\.example/l/[A-Za-z0-9_-]{48}", link)


def test_no_two_links_are_the_same() -> None:
    assert len({a_token() for _ in range(1000)}) == 1000


def test_what_is_stored_is_a_hash_and_makes_no_token() -> None:
    token, link = make(OLD, LinkAction.ACKNOWLEDGE, 41, "ana", NOW)
    raw = base64.urlsafe_b64decode(token)

    assert link.id_hash == hashlib.sha256(raw[:16]).digest()
    assert raw[:16] not in link.id_hash


def test_a_link_is_good_for_a_day() -> None:
    token = a_token()
    read(OLD, token, NOW + DAY - timedelta(seconds=1))
    with pytest.raises(NotFoundError, match="has expired"):
        read(OLD, token, NOW + DAY)


def test_a_link_signed_by_the_key_before_is_still_good_and_by_a_foreign_one_never() -> None:
    token = a_token()
    assert read((*NEW, *OLD), token, NOW) == read(OLD, token, NOW)
    with pytest.raises(NotFoundError, match="no such link"):
        read(NEW, token, NOW)


@given(place=st.integers(0, 47), character=st.characters(max_codepoint=0x2FF))
def test_no_changed_token_is_believed(place: int, character: str) -> None:
    token = a_token()
    changed = token[:place] + character + token[place + 1 :]
    if changed != token:
        with pytest.raises(NotFoundError):
            read(OLD, changed, NOW)


@given(st.text() | st.text("AZaz09-_+/=", min_size=47, max_size=49))
def test_whatever_comes_as_a_token_the_answer_is_one_error(token: str) -> None:
    with pytest.raises(NotFoundError):
        read(OLD, token, NOW)


def test_plus_and_slash_are_no_other_way_to_write_a_token() -> None:
    token = next(t for t in (a_token() for _ in range(10_000)) if "-" in t and "_" in t)
    for other in (token.replace("-", "+"), token.replace("_", "/"), f"{token}\n", f"{token}="):
        with pytest.raises(NotFoundError):
            read(OLD, other, NOW)
