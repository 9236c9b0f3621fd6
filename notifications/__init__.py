"""Notifications: composes messages, sends them through channels, and knows who is on call."""
