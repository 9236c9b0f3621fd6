"""Keys, sessions and links are random, are kept as hashes only, and end when they should."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys, sessions
from db.queries import Pool
from model.errors import ConflictError, InvalidError, NotFoundError
from model.principal import Principal, Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_key_carries_a_checksum_that_tells_typing_errors() -> None:
    text = keys.new_key().reveal()

    assert text.startswith("vg_")
    assert len(text) == 39
    assert keys.is_well_formed(text)


@given(place=st.integers(3, 38), other=st.sampled_from(string.ascii_letters + string.digits))
def test_any_single_wrong_character_is_told(place: int, other: str) -> None:
    text = keys.new_key().reveal()
    changed = text[:place] + other + text[place + 1 :]

    assert keys.is_well_formed(changed) == (changed == text)


@given(text=st.text(max_size=60))
def test_no_other_text_is_well_formed(text: str) -> None:
    assert not keys.is_well_formed(text)


def test_the_token_of_a_session_is_told_from_other_texts_without_asking_the_database() -> None:
    text = sessions.new_session().reveal()

    assert sessions.is_session(text)
    assert not sessions.is_session(text[:-1] + ("a" if text[-1] != "a" else "b"))
    assert not sessions.is_session(keys.new_key().reveal())
    assert not keys.is_well_formed(text)


async def test_a_key_is_found_by_its_text_until_it_is_revoked(pool: Pool) -> None:
    async with pool.connection() as connection:
        key, secret = await keys.create(connection, "ana", Role.OPERATOR, NOW, "cli")
        holder = await keys.find(connection, secret.reveal())
        assert holder is not None
        assert (holder.name, holder.role) == ("ana", Role.OPERATOR)
        assert await keys.find(connection, keys.new_key().reveal()) is None

        await keys.revoke(connection, "ana", NOW, "test")
        assert await keys.find(connection, secret.reveal()) is None
        [listed] = await keys.list_all(connection)
        assert (listed.id, listed.revoked_at) == (key.id, NOW)
        with pytest.raises(NotFoundError):
            await keys.revoke(connection, "ana", NOW, "test")


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x1b]0;b", "a\x9b31m", "a\u202eb", "a\udc9bb"])
async def test_a_name_or_component_that_acts_on_what_shows_it_is_refused(
    pool: Pool, text: str
) -> None:
    async with pool.connection() as connection:
        with pytest.raises(InvalidError, match=r"^the name of a key must not"):
            await keys.create(connection, text, Role.VIEWER, NOW, "cli")
        bound = keys.Bound(component=text)
        with pytest.raises(InvalidError, match=r"^the component of a key must not"):
            await keys.create(connection, "ana", Role.INGEST, NOW, "cli", bound)
        assert await keys.list_all(connection) == []


async def test_a_name_of_any_language_will_do(pool: Pool) -> None:
    async with pool.connection() as connection:
        key, _ = await keys.create(connection, "Anas Schlüssel 鍵", Role.VIEWER, NOW, "cli")
    assert key.name == "Anas Schlüssel 鍵"


async def test_a_name_belongs_to_one_valid_key(pool: Pool) -> None:
    async with pool.connection() as connection:
        await keys.create(connection, "ana", Role.VIEWER, NOW, "cli")
        with pytest.raises(ConflictError, match="ana"):
            await keys.create(connection, "ana", Role.VIEWER, NOW, "cli")
        await keys.revoke(connection, "ana", NOW, "test")
        await keys.create(connection, "ana", Role.VIEWER, NOW, "cli")


async def test_the_database_holds_no_text_that_opens_anything(pool: Pool) -> None:
    async with pool.connection() as connection:
        _, secret = await keys.create(connection, "ana", Role.ADMIN, NOW, "cli")
        session = await sessions.open_session(connection, Principal("ana", Role.ADMIN), None, NOW)
        link = await sessions.offer_link(connection, NOW)
        cursor = await connection.execute(
            "SELECT k::text || s::text || l::text FROM api_keys k, sessions s, sign_in_links l"
        )
        row = await cursor.fetchone()

    assert row is not None
    assert all(text.reveal() not in row[0] for text in (secret, session, link))
    assert repr(secret) == str(secret) == "***"


async def test_a_session_ends_by_itself_and_with_its_key(pool: Pool) -> None:
    ana = Principal("ana", Role.VIEWER)
    async with pool.connection() as connection:
        key, _ = await keys.create(connection, "ana", Role.VIEWER, NOW, "cli")
        token = (await sessions.open_session(connection, ana, key.id, NOW)).reveal()

        assert await sessions.find_session(connection, token, NOW) == ana
        assert await sessions.find_session(connection, token, NOW + sessions.SESSION_LIFE) is None
        assert await sessions.find_session(connection, token + "x", NOW) is None
        await keys.revoke(connection, "ana", NOW, "test")
        assert await sessions.find_session(connection, token, NOW) is None


async def test_signing_out_ends_the_session(pool: Pool) -> None:
    async with pool.connection() as connection:
        token = await sessions.open_session(connection, Principal("a", Role.VIEWER), None, NOW)
        await sessions.close_session(connection, token.reveal())
        assert await sessions.find_session(connection, token.reveal(), NOW) is None


async def test_all_sessions_of_a_holder_can_be_ended_at_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        for name in ("ana", "ana", "ben"):
            await sessions.open_session(connection, Principal(name, Role.ADMIN), None, NOW)

        assert await sessions.close_sessions(connection, "ana") == 2
        assert await sessions.close_sessions(connection, None) == 1


async def test_a_link_works_once_and_within_its_hour(pool: Pool) -> None:
    async with pool.connection() as connection:
        link = (await sessions.offer_link(connection, NOW)).reveal()
        assert await sessions.take_link(connection, link, NOW)
        assert not await sessions.take_link(connection, link, NOW)
        late = (await sessions.offer_link(connection, NOW)).reveal()
        assert not await sessions.take_link(connection, late, NOW + timedelta(hours=1))


async def test_expired_sessions_and_links_are_deleted(pool: Pool) -> None:
    async with pool.connection() as connection:
        await sessions.open_session(connection, Principal("a", Role.VIEWER), None, NOW)
        await sessions.offer_link(connection, NOW)
        await sessions.drop_expired(connection, NOW + sessions.SESSION_LIFE)
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM sign_in_links)"
        )
        assert await cursor.fetchone() == (0,)
