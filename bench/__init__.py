"""Benchmarks. Their figures are ratios within one run, which depend little on the machine."""
