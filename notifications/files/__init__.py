"""Channels, contacts, schedules, policies and routes as one TOML file."""
