"""A file becomes the database, whole or not at all, and the database a file."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from db.queries import Pool
from model.errors import ConflictError, InvalidError
from notifications import channel_store
from notifications.files.changes import ThingChange, become, read
from notifications.files.document import dump, parse
from notifications.files.kinds import Change
from runtime.encryption.secret_keys import SecretKeys
from tests.notifications.files.test_document import FILE

KEYS = SecretKeys(["a" * 32])
NOW = datetime(2026, 3, 27, 3, tzinfo=UTC)
ADDRESS = 'url = "https://hooks.example"\nsecret = "top"\n'
WHOLE = FILE.replace("settings = { a = [1, 2] }\n", ADDRESS)


async def load(pool: Pool, text: str, **options: Any) -> list[ThingChange]:
    async with pool.connection() as connection, connection.transaction():
        change = Change(connection, KEYS, NOW, "cli")
        return await become(change, parse(text), **{"prune": False} | options)


async def saved(pool: Pool) -> str:
    async with pool.connection() as connection:
        return dump(await read(connection))


def what(made: list[ThingChange]) -> list[tuple[str, str, str]]:
    return [(one.what, one.kind, one.name) for one in made]


async def test_a_file_is_loaded_and_written_without_addresses_and_secrets(pool: Pool) -> None:
    made = await load(pool, WHOLE)

    assert what(made) == [
        ("added", "channel", "hook"),
        ("added", "contact", "ana"),
        ("added", "schedule", "ops"),
        ("added", "policy", "wake"),
        ("added", "route", "all"),
    ]
    assert await saved(pool) == WHOLE.replace(ADDRESS, "")
    assert await load(pool, await saved(pool), prune=True) == []


async def test_what_differs_is_changed_and_secrets_stay(pool: Pool) -> None:
    await load(pool, WHOLE)
    changed = WHOLE.replace(ADDRESS, 'title = "Hook"\n').replace("repeat = 2", "repeat = 3")
    made = await load(pool, changed)

    assert what(made) == [("changed", "channel", "hook"), ("changed", "policy", "wake")]
    assert (made[1].fields["repeat"].old, made[1].fields["repeat"].new) == (2, 3)
    async with pool.connection() as connection:
        stored = await channel_store.read_named(connection, "hook")
    assert stored is not None
    opened = channel_store.opened_by(KEYS, stored)
    assert (opened.url, opened.secret, stored.title) == ("https://hooks.example", "top", "Hook")


async def test_secrets_that_a_file_gives_are_written_and_not_shown(pool: Pool) -> None:
    await load(pool, WHOLE)
    made = await load(pool, WHOLE.replace('"top"', '"other"'))

    assert what(made) == [("changed", "channel", "hook")]
    assert "other" not in repr(made)
    async with pool.connection() as connection:
        stored = await channel_store.read_named(connection, "hook")
    assert stored is not None
    assert channel_store.opened_by(KEYS, stored).secret == "other"


async def test_a_file_that_gives_the_same_address_and_secret_again_changes_nothing(
    pool: Pool,
) -> None:
    await load(pool, WHOLE)
    assert await load(pool, WHOLE) == []

    made = await load(pool, WHOLE.replace("hooks.example", "other.example"))
    assert [sorted(one.fields) for one in made] == [["url"]]
    assert await load(pool, WHOLE.replace('url = "https://hooks.example"\n', "")) == []


async def test_prune_deletes_what_the_file_does_not_have(pool: Pool) -> None:
    await load(pool, WHOLE)
    made = await load(pool, "", prune=True)

    assert what(made) == [
        ("removed", kind, name)
        for kind, name in (
            ("route", "all"), ("policy", "wake"), ("schedule", "ops"), ("contact", "ana"),
            ("channel", "hook"),
        )
    ]  # fmt: skip
    assert await saved(pool) == ""


async def test_routes_have_the_order_of_the_file(pool: Pool) -> None:
    route = '[[route]]\nname = "{}"\nchannels = ["hook"]\n'
    channel = f'[[channel]]\nname = "hook"\ntype = "webhook"\n{ADDRESS}'
    await load(pool, channel + "".join(map(route.format, "abc")))
    made = await load(pool, "".join(map(route.format, "cab")))

    assert what(made) == [("changed", "route", "c")]
    assert (made[0].fields["position"].old, made[0].fields["position"].new) == (3, 1)
    assert re.findall(r'"([abc])"', await saved(pool)) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('[[channel]]\nname = "x"\ntype = "webhook"\n', InvalidError, "channel x: url"),
        (
            '[[channel]]\nname = "hook"\ntype = "slack"\n',
            InvalidError,
            "create a channel with another",
        ),
        (
            '[[policy]]\nname = "p"\nsteps = [{ targets = [{ kind = "person", name = "x" }] }]\n',
            InvalidError,
            "policy p: steps: there is no contact 'x'",
        ),
    ],
)
async def test_nothing_is_loaded_of_a_file_that_is_wrong_anywhere(
    pool: Pool, text: str, error: type[Exception], words: str
) -> None:
    await load(pool, WHOLE)
    before = await saved(pool)
    with pytest.raises(error) as refused:
        await load(pool, f'[[contact]]\nname = "new"\n{text}')

    assert words in str(refused.value)
    assert await saved(pool) == before


async def test_what_the_file_still_needs_is_not_pruned(pool: Pool) -> None:
    await load(pool, WHOLE)
    without_ana = WHOLE.replace(WHOLE[WHOLE.index("[[contact]]") : WHOLE.index("[[schedule")], "")
    with pytest.raises(ConflictError, match="contact ana: it is in the schedule ops"):
        await load(pool, without_ana, prune=True)
