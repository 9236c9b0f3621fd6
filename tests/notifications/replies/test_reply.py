"""A button carries what it asks for, within what providers take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.message import Event
from notifications.replies.reply import BUTTON_BYTES_MAX, Action, Reply, button_data, pressed
from tests.notifications.messages import ALERT, message

LINK = "https://vigia.example/l/"
actions = st.sampled_from([Action.ACKNOWLEDGE, Action.RESOLVE])


@given(actions, st.text(alphabet="abcXYZ019-_", min_size=1, max_size=BUTTON_BYTES_MAX - 2))
def test_a_button_brings_back_the_token_of_its_link(action: Action, token: str) -> None:
    data = button_data(action, LINK + token, message())
    assert len(data.encode()) <= BUTTON_BYTES_MAX
    assert pressed(data, "alice") == Reply(action=action, sender="alice", token=token)


@given(actions, st.integers(1, 10**18 - 1), st.sampled_from(["", LINK + "x" * 63, "https://a.b/c"]))
def test_without_a_short_token_it_brings_back_the_alert(
    action: Action, alert_id: int, link: str
) -> None:
    data = button_data(action, link, message(alerts=({**ALERT, "id": alert_id},)))
    assert pressed(data, "alice") == Reply(action=action, sender="alice", alert_id=alert_id)
    assert len(data.encode()) <= BUTTON_BYTES_MAX


def test_several_alerts_without_a_link_have_no_button() -> None:
    group = message(Event.GROUP, alerts=(ALERT, ALERT))
    assert button_data(Action.ACKNOWLEDGE, "", group) == ""


@given(st.text())
def test_any_data_is_a_reply_or_none(data: str) -> None:
    reply = pressed(data, "alice")
    assert reply is None or reply.token or reply.alert_id is not None


@pytest.mark.parametrize(
    "data",
    ["", "a", "a:", "a#", "a#x", "a#-1", "a#²", "a#" + "9" * 19, "x:1", "s:tok", "A:tok", "a1"],
)
def test_what_is_no_button_of_ours_asks_for_nothing(data: str) -> None:
    assert pressed(data, "alice") is None
