"""Backups: writes a database to one verified file, and restores it."""
