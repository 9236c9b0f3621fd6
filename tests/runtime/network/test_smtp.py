"""A mail server is greeted by a name that it can take."""

import pytest

from runtime.network.smtp import own_name


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("vigia.example.org", "192.0.2.1", "vigia.example.org"),
        ("vigia", "192.0.2.1", "[192.0.2.1]"),
        ("vigia", "2001:db8::1", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_host_without_a_whole_name_greets_by_its_address(
    name: str, address: str, expected: str
) -> None:
    assert own_name(name, address) == expected
