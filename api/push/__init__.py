"""Notifications of browsers over HTTP."""
