"""Contacts: the people who get notifications, their addresses, and their quiet hours."""
