"""What samples and roll-ups take on disk, beside other databases."""
