"""What people answer to a message, without opening Vigia: a button, or a word."""
