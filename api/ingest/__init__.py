"""Ingest of samples from clients: native, OTLP, and Prometheus remote write."""
