"""A database to back up, and a fresh one to restore into, as the tests of `db.backup` have them."""

from tests.db.backup.conftest import fresh, source

__all__ = ["fresh", "source"]
