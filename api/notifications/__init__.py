"""Routes of the API for channels, deliveries, contacts, schedules and replies."""
