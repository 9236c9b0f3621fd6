"""Keeps secrets that have to be read again, and the keys by which it does."""
