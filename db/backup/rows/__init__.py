"""Backups of a server: the rows of its tables as they are at one moment."""
