"""Benchmark of ingest in every format, compared with bare statements and other databases."""
