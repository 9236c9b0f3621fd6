"""Errors whose message may be shown to whoever asked."""


class DomainError(Exception):
    """Something the caller can mend; the message says how and may be shown to anyone."""


class NotFoundError(DomainError):
    """What was named does not exist."""


class ConflictError(DomainError):
    """The thing is no longer in a state that allows this."""


class InvalidError(DomainError):
    """The request itself is wrong."""


class UnavailableError(DomainError):
    """The service cannot answer now, and will again by itself."""
