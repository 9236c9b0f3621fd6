"""A running service under load, with kills and an audit."""
