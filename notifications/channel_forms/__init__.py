"""Forms of channel types: the fields that a page or a terminal shows."""
