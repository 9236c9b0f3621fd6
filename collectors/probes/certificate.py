"""Reads the end of validity of an X.509 certificate (RFC 5280).

Python's ssl module returns it for verified certificates only.
"""

from datetime import UTC, datetime

VERSION = 0xA0
UTC_TIME = 0x17


def not_after(der: bytes) -> datetime:
    """Return the end of validity of a certificate in DER. Raises ValueError for anything else."""
    try:
        return _not_after(der)
    except (IndexError, ValueError):
        raise ValueError("not a certificate") from None


def _not_after(der: bytes) -> datetime:
    """Walk the DER elements of a certificate to `notAfter`.

    1. Open the certificate, and in it `tbsCertificate`.
    2. Skip the version, if there is one, then the serial number, the algorithm and the issuer.
    3. Open `validity`, skip `notBefore`, and read the next time. Its tag gives the year's format.
    """
    _, certificate, _ = _element(der, 0)
    _, at, _ = _element(der, certificate)
    tag, _, end = _element(der, at)
    if tag == VERSION:
        at = end
    for _serial_algorithm_issuer in range(3):
        _, _, at = _element(der, at)
    _, not_before, _ = _element(der, at)
    _, _, at = _element(der, not_before)
    tag, start, end = _element(der, at)
    form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(der[start:end].decode("ascii"), form).replace(tzinfo=UTC)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the element at an offset, and where its content starts and ends."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[start : start + size])
        start += size
    return tag, start, start + length
