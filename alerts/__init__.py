"""Rules, and when they fire."""
