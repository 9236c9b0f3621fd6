"""Identifies the database of the samples, and checks that it can store them."""
