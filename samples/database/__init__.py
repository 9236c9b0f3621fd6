"""The database that samples go to: which one it is, and whether it takes them."""
