"""What the service measures and tells of itself."""
