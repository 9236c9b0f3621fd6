"""What a provider says: any answer can be noted, and none gives a secret away."""

import pytest

from model.severity import Level
from notifications.delivery import LOGGED_CHARS_MAX, Channel
from notifications.outbox.outcomes import HIDDEN, shown
from tests.notifications.outbox.telling import Telling

CRITICAL = Level.CRITICAL
PATH, QUERY, SECRET = "T0Path-Secret", "Qu3ry-Secret", "s3cret-signing/key"
URL = f"https://hooks.example/services/{PATH}?token={QUERY}"


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("body", [b"a\0b", b"\0" * 2000, b"\xed\xa0\x80 \xff"])
async def test_an_answer_that_is_no_text_does_not_keep_the_next_message_waiting(
    telling: Telling, status: int, body: bytes
) -> None:
    await telling.channel()
    telling.provider.status, telling.provider.body = status, body
    await telling.open(CRITICAL, CRITICAL)
    telling.start()
    await telling.until(**{"sent" if status == 200 else "failed": 2})

    assert len(telling.provider.requests) == 2
    assert all("�" in (one.answer or "") for one in await telling.deliveries())


@pytest.mark.parametrize("status", [200, 404])
async def test_what_a_provider_repeats_of_the_request_is_in_no_delivery_log(
    telling: Telling, status: int
) -> None:
    await telling.channel(url=URL.replace("https://hooks.example", telling.provider.url),
                          secret=SECRET)  # fmt: skip
    begun = "x" * (LOGGED_CHARS_MAX - 4)
    telling.provider.status = status
    telling.provider.body = f"/services/{PATH}?token={QUERY} {SECRET} {begun}{SECRET}".encode()
    await telling.open(CRITICAL)
    telling.start()
    await telling.until(**{"sent" if status == 200 else "failed": 1})
    [one] = await telling.deliveries()

    assert one.answer is not None
    assert one.answer.startswith(f"/services/{HIDDEN}?token={HIDDEN} {HIDDEN} xxx")
    assert len(one.answer) == LOGGED_CHARS_MAX
    assert "s3" not in one.answer


@pytest.mark.parametrize(
    ("said", "is_shown_as"),
    [
        (f"no hook at {URL}", f"no hook at {HIDDEN}"),
        (SECRET.replace("/", r"\/"), HIDDEN),
        ("Authorization: Basic dTpw", f"Authorization: Basic {HIDDEN}"),
        ("hooks.example has no services, token", "hooks.example has no services, token"),
        ("half a pair \udce9", "half a pair ?"),
    ],
)
def test_a_text_is_shown_without_address_and_secret(said: str, is_shown_as: str) -> None:
    channel = Channel(id=1, name="ops", type="webhook", url=URL, secret=SECRET)

    assert shown(said, channel) == is_shown_as
