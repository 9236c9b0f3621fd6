"""The size of a JSON body is known before it is decoded, and a large body is decoded in pieces."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from api.ingest.formats.json_parts import (
    BYTES_AT_ONCE,
    COMMAS_AT_ONCE,
    PIECE_BYTES,
    PIECE_ITEMS,
    in_pieces,
    is_small,
)
from model.errors import InvalidError

PAD = BYTES_AT_ONCE
NUMBERS = msgspec.json.Decoder(list[int])


def test_a_body_is_small_by_its_bytes_or_by_its_commas() -> None:
    assert is_small(b"," * BYTES_AT_ONCE, 0)
    assert is_small(b"," * COMMAS_AT_ONCE + b" " * PAD, COMMAS_AT_ONCE)
    assert not is_small(b"," * (COMMAS_AT_ONCE + 1) + b" " * PAD, COMMAS_AT_ONCE + 1)


def test_too_many_values_are_refused() -> None:
    body = b'{"x":[' + b"1," * PAD + b"1]}"
    assert not is_small(body, PAD)
    with pytest.raises(InvalidError, match="split it"):
        is_small(body, PAD - 1)


@given(st.text(alphabet=',\\"a', max_size=9), st.integers(0, 9))
def test_commas_in_strings_are_no_values(text: str, shift: int) -> None:
    # Every place in the text comes to lie between two pieces once.
    word = json.dumps(text).encode()
    filler = b'"' + b"a" * (PIECE_BYTES - 2 - shift) + b'"'
    body = filler + word + b"," + b'",' + b"b" * PAD + b'"' + b"," + word

    assert is_small(body, 2)
    with pytest.raises(InvalidError):
        is_small(body, 1)


def test_items_come_in_their_order_decoded_or_not() -> None:
    numbers = list(range(2 * PIECE_ITEMS + 1))
    raws = [Raw(str(number).encode()) for number in numbers]

    assert list(in_pieces(raws, NUMBERS, "numbers")) == numbers
    assert list(in_pieces(numbers, NUMBERS, "numbers")) == numbers
    assert list(in_pieces([], NUMBERS, "numbers")) == []


def test_an_item_that_cannot_be_read_is_named() -> None:
    raws = [Raw(b"1")] * PIECE_ITEMS + [Raw(b"1"), Raw(b'"x"')]
    with pytest.raises(
        InvalidError, match=rf"in numbers, item {PIECE_ITEMS + 1}: .*a whole number"
    ):
        list(in_pieces(raws, NUMBERS, "numbers"))
    with pytest.raises(InvalidError, match="in numbers, item 0: "):
        list(in_pieces([Raw(b'"\xff"')], msgspec.json.Decoder(list[str]), "numbers"))
