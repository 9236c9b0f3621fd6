"""Exports of millions of rows while the service collects."""
