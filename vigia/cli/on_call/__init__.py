"""Commands about people: contacts, and who is on call."""
