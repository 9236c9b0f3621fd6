"""Errors whose message may be shown to the caller."""


class DomainError(Exception):
    """The caller can correct this. The message says how, and holds no secret."""


class NotFoundError(DomainError):
    """The named object does not exist."""


class ConflictError(DomainError):
    """The present state of the object does not allow the request."""


class InvalidError(DomainError):
    """The request is not valid, whatever the state of the service."""


class UnavailableError(DomainError):
    """The service cannot answer now. The same request can succeed later."""
