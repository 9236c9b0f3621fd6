"""Metrics and status of Vigia itself."""
