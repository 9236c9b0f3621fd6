"""Formats in which samples arrive."""
