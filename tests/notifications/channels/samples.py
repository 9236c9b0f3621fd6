"""A channel of each type that speaks HTTP, whose provider answers at `url`."""

from collections.abc import Callable, Mapping

from notifications.delivery import Channel
from notifications.push.vapid import make_key_pair
from tests.notifications.push.browsers import Browser

SECRET = "s3cret-0123456789abcdef"
"""No failure may show this, nor `/private`, which stands for the secret part of an address."""


def discord(url: str) -> Channel:
    return Channel(id=1, name="ops", type="discord", url=f"{url}/private")


def ntfy(url: str) -> Channel:
    return Channel(id=1, name="ops", type="ntfy", url=f"{url}/private", secret=SECRET)


def opsgenie(url: str) -> Channel:
    return Channel(id=1, name="ops", type="opsgenie", url=f"{url}/private", secret=SECRET)


def pagerduty(url: str) -> Channel:
    return Channel(id=1, name="ops", type="pagerduty", url=f"{url}/private", secret=SECRET)


def slack(url: str) -> Channel:
    return Channel(id=1, name="ops", type="slack", url=f"{url}/private")


def teams(url: str) -> Channel:
    return Channel(id=1, name="ops", type="teams", url=f"{url}/private")


def telegram(url: str) -> Channel:
    return Channel(
        id=1,
        name="ops",
        type="telegram",
        url=f"{url}/private",
        secret=SECRET,
        settings={"chat_id": -100123},
    )


def twilio(url: str) -> Channel:
    return Channel(
        id=1,
        name="ops",
        type="twilio",
        url=f"{url}/private",
        secret=SECRET,
        settings={"account_sid": "AC" + "0" * 32, "from": "+15017122661", "to": "+5511912345678"},
    )


def webhook(url: str) -> Channel:
    return Channel(id=1, name="ops", type="webhook", url=f"{url}/private", secret=SECRET)


def webpush(url: str) -> Channel:
    return Channel(
        id=1,
        name="ops",
        type="webpush",
        url=f"{url}/private",
        secret=make_key_pair().private,
        settings={**Browser().keys, "subject": "mailto:ops@example.org"},
    )


SAMPLES: Mapping[str, Callable[[str], Channel]] = {
    "discord": discord,
    "ntfy": ntfy,
    "opsgenie": opsgenie,
    "pagerduty": pagerduty,
    "slack": slack,
    "teams": teams,
    "telegram": telegram,
    "twilio": twilio,
    "webhook": webhook,
    "webpush": webpush,
}
READ_THE_ANSWER = {
    "discord",
    "ntfy",
    "opsgenie",
    "pagerduty",
    "slack",
    "telegram",
    "twilio",
}
"""Types whose provider says more than a status when it takes a message."""
