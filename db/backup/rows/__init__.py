"""Backups of a server: the rows of its tables at one moment."""
