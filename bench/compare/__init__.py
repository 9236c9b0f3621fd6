"""Benchmark that compares two checkouts of Vigia in CPU seconds."""
