"""Vigia: self-hosted real-time monitoring, time-series-first on TimescaleDB."""

__version__ = "0.1.0"
