"""Retention: how long each tier is kept, and the maintenance that drops older chunks."""
