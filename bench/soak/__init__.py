"""Soak test: the service under load, with kills and an audit."""
