"""A push service can check who sends."""

import json
import re

import pytest

from notifications.push.base64url import encoded
from notifications.push.vapid import (
    authorization,
    make_key_pair,
    private_key_of,
    public_key_of,
    service_key_pair,
)
from runtime.encryption.secret_keys import SecretKeys
from tests.notifications.messages import NOW
from tests.notifications.push.browsers import unb64


def test_a_key_pair_is_what_browsers_take() -> None:
    pair = make_key_pair()
    assert len(unb64(pair.public)) == 65
    assert unb64(pair.public)[0] == 4
    assert public_key_of(private_key_of(pair.private)) == pair.public
    assert make_key_pair() != pair


def test_the_pair_of_the_service_follows_from_its_first_secret_key_alone() -> None:
    pair = service_key_pair(SecretKeys(["a" * 32]))
    assert public_key_of(private_key_of(pair.private)) == pair.public
    assert service_key_pair(SecretKeys(["a" * 32, "b" * 32])) == pair
    assert service_key_pair(SecretKeys(["b" * 32, "a" * 32])) != pair


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:def", "https://fcm.googleapis.com"),
        ("https://push.example:8443/a?b=c", "https://push.example:8443"),
    ],
)
def test_the_token_is_for_the_push_service_alone(endpoint: str, audience: str) -> None:
    key = private_key_of(make_key_pair().private)
    header = authorization(key, endpoint, "mailto:ops@example.org", NOW)

    found = re.fullmatch(r"vapid t=([\w-]+)\.([\w-]+)\.([\w-]{86}), k=([\w-]{87})", header)
    assert found is not None
    assert json.loads(unb64(found[2])) == {
        "aud": audience,
        "exp": int(NOW.timestamp()) + 12 * 3600,
        "sub": "mailto:ops@example.org",
    }


@pytest.mark.parametrize("text", ["", "x", encoded(b"\x00" * 32), encoded(b"\xff" * 32), "é" * 43])
def test_what_is_no_private_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        private_key_of(text)
