"""The webhook's request is the contract's: body, key and signature."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

from notifications.channels import webhook
from notifications.delivery import Channel
from notifications.message import Event
from runtime.network.egress import Egress
from tests.notifications.messages import ALERT, NOW, message
from tests.notifications.provider import Provider
from tests.notifications.reference import examples_in, json_in


def channel(url: str, secret: str = "") -> Channel:
    return Channel(id=1, name="ops", type="webhook", url=url, secret=secret)


async def test_the_whole_alert_is_posted_with_its_key(egress: Egress, provider: Provider) -> None:
    receipt = await webhook.send(egress, channel(provider.url), message(), NOW)

    (request,) = provider.requests
    body = json.loads(request.body)
    assert receipt.status == 200
    assert (body["key"], body["event"], body["alert"]) == ("alert-41-opened-1", "opened", ALERT)
    assert body["links"]["alert"] == "https://vigia.example/alerts/41"
    assert request.headers["Idempotency-Key"] == body["key"]
    assert "X-Vigia-Signature" not in request.headers


async def test_a_group_lists_every_alert(egress: Egress, provider: Provider) -> None:
    several = ({**ALERT, "id": 1}, {**ALERT, "id": 2})
    await webhook.send(egress, channel(provider.url), message(Event.GROUP, alerts=several), NOW)

    body = json.loads(provider.requests[0].body)
    assert [alert["id"] for alert in body["alerts"]] == [1, 2]
    assert "alert" not in body


async def test_a_receiver_can_check_the_signature(egress: Egress, provider: Provider) -> None:
    await webhook.send(egress, channel(provider.url, "s3cret"), message(), NOW)

    (request,) = provider.requests
    version, sent_at, digest = request.headers["X-Vigia-Signature"].split(",")
    signed = sent_at.removeprefix("t=").encode() + b"." + request.body
    expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert (version, digest) == ("v1", f"s={expected}")


def test_the_documented_body_is_what_is_sent() -> None:
    assert json.loads(webhook.body_of(message())) == json_in("webhook")


def test_the_documented_signature_is_what_is_sent() -> None:
    body, header = (text.strip() for kind, text in examples_in("webhook") if kind == "text")
    sent_at = datetime.fromtimestamp(1772334030, UTC)
    assert webhook.signature("whsec_example", body.encode(), sent_at) == header


def test_a_channel_never_shows_its_secrets() -> None:
    shown = repr(channel("https://hooks.example/T0/secret-path", "s3cret"))
    assert "s3cret" not in shown
    assert "secret-path" not in shown
