"""Samples in every format, beside bare statements and other databases."""
