"""The outcomes of probes for the answers that real APIs give."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from collectors.probes.probe import Asked, ask
from model.targets import Target
from runtime.network.egress import BODY_BYTES_MAX, Egress, Failure
from tests.collectors.fake_targets import (
    Act,
    close_at_once,
    dripping,
    loopback_egress,
    outside,
    redirecting,
    response,
    saying,
    showing,
    silence,
)

SLOT = datetime(2099, 12, 1, 23, 59, 59, tzinfo=UTC)
TIMEOUT_S = 5.0
BINANCE = b'{"serverTime":1700000000000}'


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with loopback_egress() as opened:
        yield opened


def values_of(asked: Asked) -> dict[str, float]:
    """Return the readings by name; those of phases by the phase."""
    return {
        dict(reading.labels).get("phase", reading.metric): reading.value
        for reading in asked.readings
    }


async def asked_of(egress: Egress, act: Act, timeout_s: float = TIMEOUT_S, **options: str) -> Asked:
    async with outside(act) as server:
        target = Target(name="api", url=server.url, **options)  # type: ignore[arg-type] # texts only
        return await ask(target, egress, SLOT, timeout_s)


async def test_an_answer_is_up_with_latency_phases_and_status(egress: Egress) -> None:
    asked = await asked_of(egress, saying(response(200, BINANCE)), body_contains="serverTime")

    values = values_of(asked)
    assert (asked.reason, asked.failure, asked.body) == ("", None, BINANCE)
    assert list(values) == [
        "external_latency_ms",
        "connect",
        "first_byte",
        "transfer",
        "external_status_code",
    ]
    assert values["external_status_code"] == 200
    assert values["external_latency_ms"] == pytest.approx(
        values["connect"] + values["first_byte"] + values["transfer"]
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "400 Bad Request"),
        (401, "401 Unauthorized"),
        (403, "403 Forbidden"),
        (418, "418 I'm a Teapot"),
        (429, "429 Too Many Requests"),
        (451, "451 Unavailable For Legal Reasons"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
    ],
)
async def test_an_unexpected_status_is_down_and_has_a_latency(
    egress: Egress, status: int, reason: str
) -> None:
    asked = await asked_of(egress, saying(response(status, b"{}")))

    values = values_of(asked)
    assert asked.reason == reason
    assert values["external_status_code"] == status
    assert values["external_latency_ms"] > 0


async def test_the_reason_of_an_unknown_status_is_its_number_and_not_the_servers_phrase(
    egress: Egress,
) -> None:
    act = saying(b"HTTP/1.1 521 Call 555-0100 now\r\nContent-Length: 0\r\n\r\n")

    assert (await asked_of(egress, act)).reason == "521"


async def test_a_status_that_is_expected_is_up(egress: Egress) -> None:
    """OpenAI without a key is reachable."""
    async with outside(saying(response(401, b"{}"))) as server:
        target = Target(name="openai", url=server.url, up_status=(200, 401))
        asked = await ask(target, egress, SLOT, TIMEOUT_S)

    assert asked.reason == ""


async def test_a_redirect_is_followed_unless_it_is_expected(egress: Egress) -> None:
    async with outside() as last, outside(redirecting(last.url)) as server:
        followed = Target(name="api", url=server.url)
        expected = Target(name="api", url=server.url, up_status=(302,))
        one = await ask(followed, egress, SLOT, TIMEOUT_S)
        other = await ask(expected, egress, SLOT, TIMEOUT_S)

    assert (one.reason, values_of(one)["external_status_code"]) == ("", 200)
    assert (other.reason, values_of(other)["external_status_code"]) == ("", 302)


async def test_the_body_must_contain_the_expected_text(egress: Egress) -> None:
    act = saying(response(200, "maintenance — señal".encode()))

    assert (await asked_of(egress, act, body_contains="señal")).reason == ""
    missing = await asked_of(egress, act, body_contains="serverTime")
    assert missing.reason == "the body does not contain 'serverTime'"
    assert "external_latency_ms" in values_of(missing)
    assert len((await asked_of(egress, act, body_contains="x" * 1000)).reason) < 100


async def test_a_head_request_asks_for_no_body(egress: Egress) -> None:
    async with outside(saying(response(200).replace(b"Length: 0", b"Length: 99"))) as server:
        target = Target(name="api", url=server.url, method="HEAD")
        asked = await ask(target, egress, SLOT, TIMEOUT_S)

    assert (asked.reason, asked.body) == ("", b"")


async def test_the_days_of_the_certificate_are_counted_from_the_slot(egress: Egress) -> None:
    async with outside(tls=showing("valid")) as server:
        asked = await ask(Target(name="api", url=server.url), egress, SLOT, TIMEOUT_S)

    assert asked.reason == ""
    assert values_of(asked)["external_certificate_days"] == 30
    assert "tls" in values_of(asked)


async def test_of_several_certificates_the_first_to_expire_counts(
    egress: Egress,
) -> None:
    async with (
        outside(tls=showing("foreign")) as last,
        outside(redirecting(last.url), tls=showing("valid")) as first,
    ):
        target = Target(name="api", url=first.url, verify_tls=False)
        asked = await ask(target, egress, datetime(2049, 12, 30, 23, 59, 59, tzinfo=UTC), TIMEOUT_S)

    days = [each.value for each in asked.readings if each.metric == "external_certificate_days"]
    assert days == [1]


async def test_an_expired_certificate_is_down_and_its_days_are_negative(egress: Egress) -> None:
    async with outside(tls=showing("expired")) as server:
        lenient = Target(name="api", url=server.url, verify_tls=False)
        time = datetime(2020, 2, 2, 12, tzinfo=UTC)
        asked = await ask(Target(name="api", url=server.url), egress, time, TIMEOUT_S)
        unverified = await ask(lenient, egress, time, TIMEOUT_S)

    values = values_of(asked)
    assert asked.reason == "TLS: certificate has expired"
    assert values["external_certificate_days"] == -1.5
    assert "external_latency_ms" not in values
    assert (unverified.reason, values_of(unverified)["external_certificate_days"]) == ("", -1.5)


@pytest.mark.parametrize(
    ("act", "reason", "known"),
    [
        (silence, "no answer within 0.2 s", {"connect"}),
        (close_at_once, "closed without an answer", {"connect"}),
        (
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            "no answer within 0.2 s",
            {"connect", "first_byte", "external_status_code"},
        ),
    ],
    ids=["silent", "closed", "slow body"],
)
async def test_readings_from_before_a_failure_are_kept(
    egress: Egress, act: Act, reason: str, known: set[str]
) -> None:
    asked = await asked_of(egress, act, timeout_s=0.2)

    assert asked.reason == reason
    assert set(values_of(asked)) == known


async def test_an_endless_body_is_up(egress: Egress) -> None:
    act = dripping(b"HTTP/1.1 200 OK\r\n\r\n", bytes(9999), 0)

    asked = await asked_of(egress, act)

    assert (asked.reason, len(asked.body)) == ("", BODY_BYTES_MAX)


async def test_a_reason_contains_no_part_of_the_address(egress: Egress) -> None:
    async with outside() as gone:
        pass
    for url in (gone.url, "http://10.0.0.1/", "http://nothing..test/", "https://127.0.0.1:1/"):
        host = url.split("//")[1].removesuffix("/")
        secret = f"http://{host}/CANARY?token=CANARY#CANARY"
        asked = await ask(Target(name="api", url=secret), egress, SLOT, TIMEOUT_S)

        assert asked.failure in {Failure.REFUSED, Failure.ADDRESS, Failure.URL}
        assert "CANARY" not in asked.reason
