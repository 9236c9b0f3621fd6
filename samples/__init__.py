"""The write path: from what was measured or sent to the rows that are stored."""
