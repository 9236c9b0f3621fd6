"""What Vigia asks from outside: targets that are probed, and those that are scraped."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from model.limits import COLLECT_TIMEOUT_S_MAX
from model.text import Address, NamedLabels, TargetName

Timeout = Annotated[float, Meta(gt=0, le=COLLECT_TIMEOUT_S_MAX)]


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address outside that is asked each slot; it is a component of category external.

    It is up when it answers in time with a status of `up_status` (default: 200 to 399) and, if that
    is given, with `body_contains` in the body. `ngrok` asks a local ngrok agent for its tunnels.
    """

    name: TargetName
    url: Address
    kind: Literal["http", "ngrok"] = "http"
    method: Literal["GET", "HEAD"] = "GET"
    timeout_s: Timeout = COLLECT_TIMEOUT_S_MAX
    up_status: tuple[Annotated[int, Meta(ge=100, le=599)], ...] = ()
    body_contains: Annotated[str, Meta(max_length=1000)] = ""
    verify_tls: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a password in the address: everyone who may read the settings would see it."""
        _refuse_password(self.url)


class ScrapeTarget(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An address that answers in the Prometheus text format or OpenMetrics; it is a component.

    `labels` are added to each of its series. `token_file` names a file below `secrets` in the data
    directory, whose content is sent as a bearer token.
    """

    name: TargetName
    url: Address
    timeout_s: Timeout = COLLECT_TIMEOUT_S_MAX
    labels: NamedLabels = {}
    token_file: Annotated[str, Meta(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})?(?!\n)$")] = ""
    sample_limit: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    verify_tls: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a password in the address: everyone who may read the settings would see it."""
        _refuse_password(self.url)


def _refuse_password(url: str) -> None:
    if "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError("url: must not hold a user or password")
