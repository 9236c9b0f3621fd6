"""Minutes in which the SQL of a rule had no answer, live and in a preview."""

from collections.abc import AsyncIterator, Mapping

import pytest

from alerts.preview import preview
from alerts.rules.model import Rule
from alerts.sql_rules.collector import samples_of
from alerts.sql_rules.query import SqlRule
from db.queries import Connection, Pool
from model.rows import Answer
from model.series import Category
from model.severity import Level
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.simulation import Simulation, minute

QUESTION = SqlRule(1, "own", "stuck", "shop", Category.TRADING, "SELECT 1 AS value", False)

Answered = Mapping[str, float] | None
"""The value of each row by its label; None: nobody asked, or there was no answer."""


def rule_with(no_data: str, **more: object) -> Rule:
    given = {
        "name": "own",
        "kind": "sql",
        "metric": "stuck",
        "component": "shop",
        "sql": "SELECT 1",
    }
    return Rule(**given, no_data=no_data, levels={Level.WARNING: 5}, **more)  # type: ignore[arg-type]


class Shop(Simulation):
    """A simulation in which the SQL of a rule answers in some minutes."""

    async def minute(self, answered: Answered) -> list[str]:
        """Let a minute pass with an answer, or without one; return what is open."""
        self.now += 1
        if answered is not None:
            await self.store(answered, self.now - 1)
        await self.announce()
        return [alert.labels["row"] for alert in await self.active()]

    async def store(self, answered: Mapping[str, float], number: int) -> None:
        answer = Answer(["label_row", "value"], list(answered.items()))
        samples = samples_of(QUESTION, answer, minute(number))
        async with self.connection.transaction():
            await insert(self.connection, SeriesNumbers(), samples)


async def audit(connection: Connection) -> list[tuple[object, ...]]:
    cursor = await connection.execute(
        "SELECT e.time, a.labels ->> 'row', e.type, e.value, e.comment"
        " FROM system_alert_events e JOIN system_alerts a ON a.id = e.alert_id ORDER BY 1, 2, 3"
    )
    return await cursor.fetchall()


def events(previewed: preview.Preview) -> list[tuple[object, ...]]:
    transitions = [(e.time, e.labels["row"], e.type, e.value, e.comment) for e in previewed.events]
    return sorted(transitions, key=lambda transition: transition[:3])


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def shop(connection: Connection) -> Shop:
    return Shop(connection)


async def test_an_alert_stays_open_until_an_answer_lacks_its_row(shop: Shop) -> None:
    """A restart in the middle of a minute resolves nothing, nor do the minutes of an outage."""
    await shop.add(rule_with("ok"))
    assert await shop.minute({"a": 9, "b": 1}) == ["a"]
    for _ in range(5):
        assert await shop.minute(None) == ["a"]
    assert await shop.minute({}) == []
    assert [transition[2] for transition in await audit(shop.connection)] == ["opened", "resolved"]


async def test_nothing_opens_until_an_answer_lacks_a_row(shop: Shop) -> None:
    await shop.add(rule_with("alert"))
    assert await shop.minute({"a": 1, "b": 1}) == []
    for _ in range(5):
        assert await shop.minute(None) == []
    assert await shop.minute({"a": 1}) == ["b"]
    assert await shop.minute(None) == ["b"]
    assert await shop.minute({"a": 1, "b": 1}) == []


async def test_a_row_that_was_never_answered_is_awaited(shop: Shop) -> None:
    """Also where the first answer has no row at all."""
    await shop.add(rule_with("alert"))
    for answered in (None, {}, None, {}):
        assert await shop.minute(answered) == []


async def test_time_without_an_answer_is_neither_broken_nor_calm(shop: Shop) -> None:
    """Of four minutes from one answer to another none counts."""
    await shop.add(rule_with("ok", for_="2m", keep_firing_for="2m"))
    breached = [{"a": 9}, None, None, None, {"a": 9}, {"a": 9}]
    assert [await shop.minute(answered) for answered in breached] == [[]] * 6
    assert await shop.minute({"a": 9}) == ["a"]
    clear = [{}, None, None, None, {}, {}]
    assert [await shop.minute(answered) for answered in clear] == [["a"]] * 6
    assert await shop.minute({}) == []


async def test_a_longer_window_holds_the_answers_of_all_its_minutes(shop: Shop) -> None:
    await shop.add(rule_with("ok", window="3m", agg="max"))
    assert await shop.minute({"a": 9}) == ["a"]
    assert await shop.minute({}) == ["a"]
    assert await shop.minute(None) == ["a"]
    assert await shop.minute(None) == []


async def test_other_rules_have_no_data_where_nothing_is_measured(shop: Shop) -> None:
    """Also such as look at the answers of a question."""
    other = Rule(name="other", metric="stuck", levels={Level.INFO: 5}, no_data="ok")
    await shop.add(rule_with("ok"), other)
    assert await shop.minute({"a": 9}) == ["a", "a"]
    assert await shop.minute(None) == ["a"]


DAY: list[Answered] = [
    {"a": 9, "b": 1}, None, {"a": 9}, None, None, None, {"b": 9}, {"b": 9}, {}, None,
    {"a": 7, "b": 7}, None, {"a": 1}, {"a": 1, "b": 1}, {}, {}, None, {"a": 8},
    {"a": 8, "b": 1}, None, None, {"b": 1},
]  # fmt: skip


@pytest.mark.parametrize("no_data", ["ok", "alert"])
@pytest.mark.parametrize("wait", ["0s", "1m"])
@pytest.mark.parametrize("window", ["1m", "90s", "3m"])
async def test_a_preview_tells_each_step_of_minutes_without_an_answer(
    shop: Shop, pool: Pool, no_data: str, wait: str, window: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were caught up with, one after the other, included."""
    monkeypatch.setattr(preview, "CELLS_MAX", 1)
    rule = rule_with(no_data, for_=wait, keep_firing_for=wait, window=window)
    await shop.add(rule)
    for answered in DAY:
        await shop.minute(answered)
    happened = await audit(shop.connection)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(len(DAY)))

    assert len(happened) >= 3
    assert events(previewed) == happened


async def test_a_preview_names_an_answer_without_rows_that_came_late(
    shop: Shop, pool: Pool
) -> None:
    rule = rule_with("ok", labels={"row": "a"})
    await shop.add(rule)
    assert await shop.minute({"a": 9}) == ["a"]
    assert await shop.minute(None) == ["a"]
    await shop.store({}, 1)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(2))

    assert [event.type for event in previewed.events] == ["opened", "resolved"]
    assert [(one.metric, one.labels) for one in previewed.late] == [
        ("sql_rule_rows", {"metric": "stuck"})
    ]


def test_a_window_in_which_nobody_asks_is_refused() -> None:
    rule_with("ok", window="30s")
    with pytest.raises(ValueError, match="window must be at least 30s"):
        rule_with("ok", window="29s")
