"""What people enter for a channel, as a page or a terminal asks for it."""
