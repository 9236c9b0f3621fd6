"""Backups: a database in one file that is proven to be whole, and its way back."""
