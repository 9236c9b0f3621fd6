"""Backups of the embedded engine: the files of its database as they are at one moment."""
