"""Benchmark of history queries, compared with plain SQL and other databases."""
