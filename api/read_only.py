"""What an answer has and a request may give back: it is taken, and ignored."""

from typing import Annotated, Any

from msgspec import Meta

ReadOnly = Annotated[Any, Meta(description="As GET answers it; it is ignored.")]
