"""Only the browser that subscribed can read a message."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.push.base64url import decoded, encoded
from notifications.push.encryption import (
    PAYLOAD_BYTES_MAX,
    _encrypted,
    encrypt,
    subscription_of,
)
from notifications.push.vapid import private_key_of
from tests.notifications.push.browsers import BODY_BYTES_MAX, Browser

RFC_8291 = {
    "as_private": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    "ua_public": (
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    ),
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    "salt": "DGv6ra1nlYgDCS1FRnbzlw",
    "body": (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
        "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
        "lcy4a-fN"
    ),
}
"""The example of RFC 8291, section 5."""


def test_the_example_of_the_standard() -> None:
    to = subscription_of(RFC_8291["ua_public"], RFC_8291["auth"])
    key = private_key_of(RFC_8291["as_private"])
    text = b"When I grow up, I want to be a watermelon"
    assert encoded(_encrypted(text, to, key, decoded(RFC_8291["salt"]))) == RFC_8291["body"]


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=PAYLOAD_BYTES_MAX))
def test_the_browser_reads_what_was_sent(payload: bytes) -> None:
    browser = Browser()
    assert browser.read(encrypt(payload, subscription_of(**browser.keys))) == payload


def test_no_other_browser_can_read_it() -> None:
    body = encrypt(b"secret", subscription_of(**Browser().keys))
    with pytest.raises(InvalidTag):
        Browser().read(body)


def test_the_longest_message_is_what_push_services_take_and_no_longer() -> None:
    to = subscription_of(**Browser().keys)
    assert len(encrypt(b"x" * PAYLOAD_BYTES_MAX, to)) == BODY_BYTES_MAX
    with pytest.raises(ValueError, match="at most 3993 bytes"):
        encrypt(b"x" * (PAYLOAD_BYTES_MAX + 1), to)


def test_the_same_message_is_never_encrypted_alike() -> None:
    to = subscription_of(**Browser().keys)
    first, second = encrypt(b"x", to), encrypt(b"x", to)
    assert first[:16] != second[:16]
    assert first[21:86] != second[21:86]


POINT = RFC_8291["ua_public"]


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", RFC_8291["auth"]),
        (POINT, ""),
        (POINT, encoded(b"x" * 15)),
        (POINT[:-4], RFC_8291["auth"]),
        (encoded(b"\x04" + b"\x01" * 64), RFC_8291["auth"]),
        ("not base64!", RFC_8291["auth"]),
        (POINT, "ação"),
    ],
)
def test_what_no_browser_makes_is_refused(p256dh: str, auth: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        subscription_of(p256dh, auth)


@given(st.binary(max_size=100))
def test_base64url_goes_both_ways(raw: bytes) -> None:
    text = encoded(raw)
    assert not set(text) & set("+/=")
    assert decoded(text) == decoded(text + "=" * (-len(text) % 4)) == raw
