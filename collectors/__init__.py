"""Collectors measure the world: the host, databases, targets. They do not import one another."""
