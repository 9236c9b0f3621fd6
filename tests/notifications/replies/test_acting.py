"""What somebody answers is done, or they hear why it could not be."""

import pytest

from db.pool import DatabasePool
from model.errors import UnavailableError
from model.times import utc_now
from notifications.outbox.pool_share import PoolShare
from notifications.replies.acting import Acting
from notifications.replies.reply import Action, Reply
from runtime.encryption.secret_keys import SecretKeys


async def test_without_its_database_it_says_to_answer_again_and_goes_on(
    away: DatabasePool,
) -> None:
    acting = Acting(
        pool=PoolShare(away, 1),
        keys=SecretKeys(["a" * 32]),
        channel_id=1,
        on_transitions=(),
        announce=lambda: None,
        now=utc_now,
    )

    with pytest.raises(UnavailableError, match="reply again soon"):
        await acting.on_reply(Reply(action=Action.ACKNOWLEDGE, sender="ann", alert_id=1))
