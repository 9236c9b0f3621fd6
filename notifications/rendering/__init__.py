"""What several channels make of a message: text of a limited length, buttons, a mail."""
