"""The end of validity is read from the bytes of a certificate."""

import ssl
from datetime import UTC, datetime

import pytest

from collectors.probes.certificate import not_after
from tests.collectors.fake_targets import CERTIFICATES


def der_of(name: str) -> bytes:
    pem = (CERTIFICATES / f"{name}.pem").read_text()
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("expired", datetime(2020, 2, 1, tzinfo=UTC)),
        ("foreign", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("valid", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_the_end_is_read_in_both_forms_of_time(name: str, end: datetime) -> None:
    assert not_after(der_of(name)) == end


def test_the_authorities_of_this_system_end_when_python_says() -> None:
    context = ssl.create_default_context()
    ends = {
        datetime.fromtimestamp(ssl.cert_time_to_seconds(str(each["notAfter"])), UTC)
        for each in context.get_ca_certs()
    }

    assert {not_after(der) for der in context.get_ca_certs(binary_form=True)} == ends


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x82", b"\x30\x00" * 9, b"\xff" * 400])
def test_bytes_that_are_not_a_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        not_after(der)


@pytest.mark.parametrize("bytes_kept", range(0, 80, 7))
def test_a_certificate_cut_short_is_refused(bytes_kept: int) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        not_after(der_of("valid")[:bytes_kept])
