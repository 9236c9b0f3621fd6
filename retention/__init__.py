"""What is kept, how long, how dense."""
