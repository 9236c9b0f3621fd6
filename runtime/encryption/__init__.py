"""Encrypts stored secrets that Vigia has to read again, and keeps the keys for it."""
