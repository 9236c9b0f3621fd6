"""Channels, and what was sent by them."""
