"""Backups as the service and its commands make them."""
