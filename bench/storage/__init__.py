"""Benchmark of the size of samples and roll-ups on disk, compared with other databases."""
