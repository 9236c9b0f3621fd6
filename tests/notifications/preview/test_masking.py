"""Masked addresses show which one it is, and cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.preview.masking import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("", ""),
        ("ana@example.org", "a…@example.org"),
        ("+5511912345678", "+5…78"),
        ("@vigia", "@v…ia"),
        ("123", "…"),
        ('{"endpoint": "https://push.example.org/x", "keys": {}}', "…"),
    ],
)
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.text(alphabet="abc123+@.", min_size=2))
def test_no_address_is_shown_whole(address: str) -> None:
    assert masked(address) != address
