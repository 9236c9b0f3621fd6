"""Backups of the embedded engine: a copy of its database files at one moment."""
