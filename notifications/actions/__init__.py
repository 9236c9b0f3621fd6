"""Actions that alerts start: a webhook or a backup."""
