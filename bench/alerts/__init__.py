"""Benchmark of the evaluation of rules, compared with Prometheus, and of an alert storm."""
