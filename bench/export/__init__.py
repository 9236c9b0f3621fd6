"""Benchmark of exports of millions of rows while the service collects."""
