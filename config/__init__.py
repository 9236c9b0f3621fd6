"""The run-time settings, stored in the database."""
