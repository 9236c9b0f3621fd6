"""The request as the handlers get it: a body that is not JSON in UTF-8 is the sender's mistake."""

from typing import Any

from litestar import Request
from litestar.exceptions import SerializationException


class JsonRequest(Request[Any, Any, Any]):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Return the decoded body. Raises SerializationException, which is answered with 400."""
        try:
            return await super().json()
        except UnicodeDecodeError:
            # msgspec reads a text of JSON apart from JSON itself, and has no error of its own here.
            raise SerializationException("the body is not UTF-8; send JSON in UTF-8") from None
