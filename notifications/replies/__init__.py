"""Replies to messages without opening Vigia: a button, a link or a text."""
