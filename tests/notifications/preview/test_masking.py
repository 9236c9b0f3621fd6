"""Masked addresses show which one it is, and cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.queries import Pool
from notifications.preview.masking import masked

ADDRESSES = [
    ("", ""),
    ("ana@example.org", "a…@example.org"),
    ("a@b@example.org", "a…@example.org"),
    ("+5511912345678", "+5…78"),
    ("@vigia", "@v…ia"),
    ("ana@", "a…@"),
    ("123", "…"),
    ("1234", "…"),
    ("12345", "12…45"),
    ('{"endpoint": "https://push.example.org/x", "keys": {}}', "…"),
    ('{"mail": "ana@example.org"}', "…"),
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.text(alphabet="abc123+@.", min_size=2))
def test_no_address_is_shown_whole(address: str) -> None:
    assert masked(address) != address


async def test_the_database_masks_in_the_same_way(pool: Pool) -> None:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT masked_address(a) FROM unnest(%s::text[]) WITH ORDINALITY w (a, n) ORDER BY n",
            [[address for address, _ in ADDRESSES]],
        )
        found = [text for (text,) in await cursor.fetchall()]
    assert found == [shown for _, shown in ADDRESSES]
