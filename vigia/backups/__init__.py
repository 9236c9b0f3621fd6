"""Backups made by the service and by its commands."""
