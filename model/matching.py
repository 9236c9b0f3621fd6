"""The values that a matcher compares a field with: one value, or a list of which one must fit."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from model.limits import TEXT_CHARS_MAX
from model.text import UNSAFE_WORDS, is_safe

Several = Meta(min_length=1, max_length=100)
# Without a pattern, unlike `Text`: msgspec 0.22 frees the pattern of a member of a union twice, and
# the process aborts when it exits.
Value = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]


def several(wanted: str | Sequence[str] | None) -> Sequence[str]:
    """Return the values of a field that has one, some or none."""
    if wanted is None:
        return ()
    return (wanted,) if isinstance(wanted, str) else wanted


def check_values(matcher: Struct, *names: str) -> None:
    """Refuse values that act on a terminal. Raises ValueError that names the field."""
    for name in names:
        if not all(map(is_safe, several(getattr(matcher, name)))):
            raise ValueError(f"{name} must not have {UNSAFE_WORDS}")
