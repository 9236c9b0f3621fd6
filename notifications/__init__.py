"""Tells people what happened: messages, the channels they go by, and who is on call."""
