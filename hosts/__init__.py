"""What sends samples: when each host was last seen, and whether it has stopped."""
