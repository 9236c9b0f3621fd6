"""Routes, groups of alerts, and running escalations."""
