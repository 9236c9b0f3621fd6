"""Web push: messages that only one browser can decrypt, from a sender that it can verify."""
