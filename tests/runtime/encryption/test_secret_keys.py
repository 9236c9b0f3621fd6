"""Only the owner and the configured keys can decrypt a stored secret."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.encryption.secret_keys import DecryptionError, SecretKeys

OLD, NEW = "o" * 31 + "1", "n" * 31 + "2"
SECRET = "xoxb-CANARY"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(text=TEXT, owner=TEXT)
def test_a_secret_is_decrypted_to_the_same_text(text: str, owner: str) -> None:
    keys = SecretKeys([OLD])
    assert keys.decrypt(keys.encrypt(text, owner), owner) == text


def test_the_same_text_is_encrypted_differently_each_time() -> None:
    keys = SecretKeys([OLD])
    assert len({keys.encrypt(SECRET, "channel:7") for _ in range(100)}) == 100


def test_a_ciphertext_shows_neither_the_text_nor_the_key() -> None:
    ciphertext = SecretKeys([OLD]).encrypt(SECRET, "channel:7")
    assert re.fullmatch(r"v1\.[0-9a-f]{12}\.[A-Za-z0-9_=-]+", ciphertext)
    assert "CANARY" not in ciphertext


def test_a_ciphertext_that_is_moved_to_another_owner_cannot_be_decrypted() -> None:
    keys = SecretKeys([OLD])
    moved = keys.encrypt(SECRET, "channel:7")
    with pytest.raises(DecryptionError, match="channel:8 was changed, or copied from another"):
        keys.decrypt(moved, "channel:8")


@given(place=st.integers(min_value=0), mask=st.integers(1, 127))
def test_a_changed_ciphertext_is_refused(place: int, mask: int) -> None:
    keys = SecretKeys([OLD])
    good = keys.encrypt(SECRET, "channel:7")
    at = place % len(good)
    bad = good[:at] + chr(ord(good[at]) ^ mask) + good[at + 1 :]
    with pytest.raises(DecryptionError) as caught:
        keys.decrypt(bad, "channel:7")
    assert "CANARY" not in str(caught.value)


def test_another_base64_spelling_of_a_ciphertext_is_refused() -> None:
    keys = SecretKeys([OLD])
    good = next(c for c in (keys.encrypt(SECRET, "x") for _ in range(10_000)) if "-" in c)
    for bad in (good.replace("-", "+"), f"{good}\n", f"{good}=", good + "!"):
        with pytest.raises(DecryptionError):
            keys.decrypt(bad, "x")


@given(TEXT)
def test_any_other_text_raises_one_kind_of_error(stored: str) -> None:
    keys = SecretKeys([OLD])
    for text in (stored, f"v1.{keys.current_id}.{stored}"):
        with pytest.raises(DecryptionError):
            keys.decrypt(text, "channel:7")


def test_a_new_key_encrypts_and_the_old_one_still_decrypts() -> None:
    before = SecretKeys([OLD]).encrypt(SECRET, "channel:7")
    rotated = SecretKeys([NEW, OLD])

    assert rotated.decrypt(before, "channel:7") == SECRET
    assert not rotated.is_current(before)
    after = rotated.encrypt(SECRET, "channel:7")
    assert rotated.is_current(after)
    assert SecretKeys([NEW]).decrypt(after, "channel:7") == SECRET


def test_without_its_key_the_message_says_which_one_is_missing() -> None:
    before = SecretKeys([OLD])
    with pytest.raises(DecryptionError) as caught:
        SecretKeys([NEW]).decrypt(before.encrypt(SECRET, "channel:7"), "channel:7")
    assert str(caught.value) == (
        f"the secret of channel:7 was encrypted with the key {before.current_id}, which is not in "
        "VIGIA_SECRET_KEY; append that key after a comma, or enter the secret again"
    )


def test_each_purpose_has_keys_of_its_own_in_the_order_of_the_setting() -> None:
    keys = SecretKeys([NEW, OLD])
    links = keys.derive("links")

    assert links == (*SecretKeys([NEW]).derive("links"), *SecretKeys([OLD]).derive("links"))
    assert len({*links, *keys.derive("calendars")}) == 4
    assert all(len(key) == 32 for key in links)


def test_keys_never_show_themselves() -> None:
    keys = SecretKeys(["CANARY" * 6])
    assert "CANARY" not in f"{keys} {keys!r} {[keys]}"
