"""The write path: from measured or received samples to stored rows."""
