"""The version of this Vigia."""

__version__ = "0.1.0"
