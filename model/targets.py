"""The external addresses that Vigia reads: probed targets and scraped targets."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from model.limits import COLLECT_TIMEOUT_S_MAX
from model.text import FILE_NAME, Address, NamedLabels, TargetName

Timeout = Annotated[float, Meta(gt=0, le=COLLECT_TIMEOUT_S_MAX)]


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address that Vigia probes each slot. It is a component of category `external`.

    It is up when it answers within `timeout_s` seconds, with a status in `up_status` (default: 200
    to 399) and with `body_contains` in its body. A target of kind `ngrok` is the local ngrok agent:
    Vigia reads its tunnels.
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
        """Raise ValueError for a password in `url`: every reader of the settings would see it."""
        _refuse_password(self.url)


class ScrapeTarget(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An address that answers in the Prometheus text format or OpenMetrics. It is a component.

    `labels` are added to each of its series. `token_file` names a file in `secrets` of the data
    directory. Vigia sends its content as a bearer token.
    """

    name: TargetName
    url: Address
    timeout_s: Timeout = COLLECT_TIMEOUT_S_MAX
    labels: NamedLabels = {}
    token_file: Annotated[str, Meta(pattern=FILE_NAME)] = ""
    sample_limit: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    verify_tls: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a password in `url`: every reader of the settings would see it."""
        _refuse_password(self.url)


def _refuse_password(url: str) -> None:
    if "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError("url: must not hold a user or password")
