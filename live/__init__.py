"""What clients follow as it happens."""
